# dhtfs: make help lists the targets.
CC      ?= cc
CFLAGS  ?= -O2 -g
PREFIX  ?= /usr/local
DESTDIR ?=
MNT     ?= /mnt/dht
SAN     ?=
B       := build$(if $(SAN),-$(shell echo '$(SAN)' | tr , -))

CHUNKER := \
	address alone lanes chunk gear cut codec codec_zlib codec_libdeflate \
	node builder index_path index_cursor index_builder feed splice \
	entry directory_node directory directory_update xattrs snapshot children directory_diff
DHT := \
	io record scan segment ledger ledger_rows ledger_write marks recent format lock \
	append tail sync commit recover pace check gc dead clean remove listing get put store open work
SET := dht dht_gc dht_volume away codecs
NET := \
	ring ring_token aead noise door link link_frames link_hello link_credit \
	wire wire_items domain member member_table signed ringfile \
	search timers random effects work commands latency peers links dials calls serve node machines \
	view membership gossip swim suspicion exchange self placement \
	proof chunkserve insert insert_touch fetch fetch_ask confirm where report audit foreign foreign_touch move \
	trie repair repair_slots reconcile reconcile_judge pull spare repair_serve rebalance leave \
	heads heads_read heads_write heads_row heads_store heads_pull heads_slots heads_lost shares deletion touches \
	lease lease_end lease_pull lease_push lease_send lease_serve lease_store lease_sweep
FS := \
	now options place remount jobs grace roots uploads lookups cache fetch \
	acl tree tree_view tree_change tree_names tree_rename tree_attr tree_xattr \
	redo tree_mend tree_checkpoint tree_reader tree_roots tree_fill unpack claim restore \
	extents layers file file_roots files flush flusher read write seek publish \
	checkpoint keep kept snapshot_write snapshot_take snapshots mark collect collector \
	session watchdog signals gate buffers loop parked known told ops ops_name ops_attr ops_dir ops_file ops_io replicas people \
	view walks byhash byhash_list byhash_xattr follow \
	control control_commands control_collect control_data control_diff control_paths control_volume settle fs
PROGRAM := control/wire control/channel control/call control/store control/server program/log program/size program/process program/progress program/home program/config
PEER := \
	identity keyfile bridge endpoint resolve conn dial listen tables ask loop peer \
	settings joining shelf shelf_read shelf_write shelf_lease shelf_fresh shelf_sum shelf_compare \
	packed disk disk_work disk_commit disk_keep \
	volume errand line outgoing outgoing_pass leasing publisher
UNIT_CHUNKER := \
	test_address test_cut test_codec test_xattrs test_snapshot test_entry test_directory test_directory_update \
	test_directory_diff test_node test_index test_splice
UNIT_DHT     := test_record test_store test_dht test_gc test_gc_race test_remove
UNIT_CORE    := test_calls test_peers test_limits test_limits_links
UNIT_MEMBERS := \
	test_membership test_membership_lies test_limits_membership test_limits_rhythm test_suspicion test_placement \
	test_swarm
UNIT_WHOLE := \
	test_report test_netnode test_hung test_heads test_head_owners test_head_row test_head_lost test_lease test_lease_pull test_lease_end test_volume_limits test_touches test_deletion test_tail \
	test_ring_of_chunks test_complete test_repair test_rebalance test_leave test_limits_repair test_limits_rounds \
	test_limits_slots
UNIT_NET := \
	test_ring test_wire test_wire_items test_member test_signed test_ringfile test_protocol test_trie test_aead test_noise \
	test_door test_link test_link_frames test_timers $(UNIT_CORE) $(UNIT_MEMBERS) $(UNIT_WHOLE) test_insert \
	test_fetch_net test_fetch_ask test_confirm test_where test_audit test_chunkserve test_foreign test_shares test_limits_chunks
UNIT_DISK    := test_peer_disk test_peer_disk_room
UNIT_LOOP    := test_peer test_peer_strangers test_peer_names
UNIT_FAKED   := test_outgoing test_publisher test_leasing test_away test_set
UNIT_PEER    := test_endpoint test_settings test_metrics test_shelf test_packed $(UNIT_DISK) test_volume $(UNIT_LOOP) $(UNIT_FAKED)
FAULT        := test_unread test_shelf_full test_peer_power test_power test_disk test_tail test_open test_heal test_collect test_crash
UNIT_FS := \
	test_options test_cache test_fetch test_jobs test_gate test_extents test_file test_file_memory test_files \
	test_files_bound test_files_threads test_control_wire test_keep test_tree test_tree_rename test_tree_attr \
	test_acl test_tree_full test_tree_threads test_tree_model test_parked test_checkpoint test_snapshot_write \
	test_snapshots test_collect test_view test_walks test_known test_told test_session test_replicas
UNIT_FAKE := \
	test_cache test_fetch test_walks test_file test_file_memory test_files test_files_bound test_files_threads test_checkpoint \
	test_snapshots test_collect
SIM := \
	world sorted options trace tables network network_faults disk disk_rows disk_faults catalogue host host_links host_effects liar \
	books load users leases writers faults faults_members plants run check grown scenarios main
FUZZ         := \
	fuzz_codec fuzz_snapshot fuzz_directory fuzz_index fuzz_segment fuzz_link fuzz_wire fuzz_member fuzz_node \
	fuzz_keyfile fuzz_settings fuzz_control fuzz_shelf
EXERCISE     := plan make model model_names model_data real real_data scan common crash worker run shrink main
KITS := \
	address_catalogue change_list chunkkit chunkkit_peers chunkset crash crash_check dhttest disk faultio filekit \
	golden leasekit memory_catalogue netkit powercut repairkit ringkit shelfkit suite volumekit wire_golden wire_sample
MOUNT_HELPERS := exercise/exercise helpers/stall.so helpers/powerlog.so helpers/nomem.so
CLUSTER_HELPERS := faultproxy liar
POSIX := \
	posix names links nodes rename directories attributes times permissions setid opening io sizes holes copies \
	mapping locking xattrs acls notify threads limits

VERSION  := 0.1
WARN     := -Wall -Wextra -Wshadow -Wstrict-prototypes -Wmissing-prototypes -Wcast-qual
CPPFLAGS += -D_GNU_SOURCE -D_FILE_OFFSET_BITS=64 -I. -DDHTFS_VERSION='"$(VERSION)"'
# What works on a mount from outside is no part of it, and sanitizers would refuse what it does on purpose.
SAN_FLAGS = $(if $(filter-out $(B)/tests/mount/%,$@),$(if $(SAN),-fsanitize=$(SAN)))
ALL_CFLAGS = -std=gnu11 $(WARN) -pthread $(CFLAGS) $(SAN_FLAGS) $(if $(SAN_FLAGS),-fno-omit-frame-pointer)
ALL_LDFLAGS = -pthread $(LDFLAGS) $(SAN_FLAGS)
DEFLATE  := $(shell pkg-config --exists libdeflate 2>/dev/null && echo 1)
LIBS_CHUNKER := -lsodium -lz $(if $(DEFLATE),-ldeflate)
LIBS_NET := $(LIBS_CHUNKER) -lcrypto
LIBS_DHT := $(LIBS_NET) -llmdb
LIBS_PEER := $(LIBS_DHT) -linih -luv -lmicrohttpd
LIBS_FS  := $(LIBS_PEER) -lfuse3
FUSE_CFLAGS := -isystem /usr/include/fuse3
CPPFLAGS += $(if $(DEFLATE),-DHAVE_LIBDEFLATE)
Q := $(if $(V),,@)

objs = $(patsubst %,$(B)/$(1)/%.o,$(2))
TESTS := $(addprefix $(B)/tests/unit/,$(UNIT_CHUNKER) $(UNIT_DHT) $(UNIT_NET) $(UNIT_PEER) $(UNIT_FS)) $(addprefix $(B)/tests/fault/,$(FAULT))
PROGRAMS := $(B)/dhtfs $(B)/dhtd $(B)/dhtctl $(B)/nullfs $(B)/benchio
BENCHES := $(addprefix $(B)/,dhtbench chunkbench corebench filebench storefill)

.SECONDARY:
.PHONY: always all help ringstat deps deps-test deps-bench deps-fuzz mount sim sims test unit cluster-helpers mount-helpers bench bench-cluster soak fuzz install clean
all: $(PROGRAMS)

help:
	@echo 'make            build dhtfs, dhtctl and nullfs in $(B)/'
	@echo 'make mount      install what is missing, build, mount at MNT ($(MNT))'
	@echo 'make test       install what is missing, build, run all tests; SAN=address,undefined or SAN=thread'
	@echo 'make sim        one run of the simulator with all that happens in it: SEED=n'
	@echo 'make soak       the long tests; make bench, make bench-cluster: figures; make fuzz: fuzzers, SECONDS=60 each'
	@echo 'make install    to PREFIX ($(PREFIX)) under DESTDIR'
	@echo 'make clean      remove what was built'

deps deps-test deps-bench deps-fuzz:
	$(Q)tools/deps $(patsubst deps-%,%,$(@:deps=build))

mount: deps
	$(Q)$(MAKE) --no-print-directory $(B)/dhtfs
	$(Q)mkdir -p $(MNT)
	$(B)/dhtfs $(MNT)

$(B)/libchunker.a: $(call objs,chunker,$(CHUNKER))
$(B)/libdht.a: $(call objs,dht,$(DHT) $(PROGRAM))
$(B)/libnet.a: $(call objs,dht/net,$(NET))
# The set: dht.h, and all behind it but the store and the protocol.
$(B)/libpeer.a: $(call objs,dht,$(SET)) $(call objs,dht/peer,$(PEER)) $(call objs,dht/control,ring_commands ring_report metrics)
$(B)/libfs.a: $(call objs,fs,$(FS))
$(B)/%.a:
	$(Q)rm -f $@ && $(AR) rcs $@ $^

$(B)/%.o: %.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) $(CPPFLAGS) $(ALL_CFLAGS) $(if $(filter fs/% tools/nullfs.c tests/unit/test_parked.c tests/unit/test_told.c,$<),$(FUSE_CFLAGS)) -MMD -MP -c -o $@ $<

$(B)/dhtfs: $(B)/fs/main.o
$(B)/dhtd: $(B)/tools/dhtd.o
$(B)/dhtctl: $(call objs,tools,dhtctl ask show show_ring ring volume)
$(B)/nullfs: $(call objs,tools,nullfs nulltree) $(B)/fs/session.o
$(B)/benchio $(BENCHES): $(B)/%: $(B)/tools/%.o
$(B)/tests/mount/exercise/exercise: $(call objs,tests/mount/exercise,$(EXERCISE))
$(B)/tests/mount/posix/posix: $(call objs,tests/mount/posix,$(POSIX))
$(B)/dhtfs $(B)/filebench: $(B)/libfs.a
$(B)/dhtfs $(B)/dhtd $(B)/dhtctl $(B)/filebench $(B)/dhtbench $(B)/storefill: $(B)/libpeer.a
$(B)/dhtfs $(B)/dhtd $(B)/dhtctl $(B)/filebench $(B)/dhtbench $(B)/storefill: $(B)/libdht.a $(B)/libnet.a
$(B)/dhtfs $(B)/dhtd $(B)/dhtctl $(BENCHES): $(B)/libchunker.a
$(B)/dhtfs $(B)/filebench: LIBS = $(LIBS_FS)
$(B)/dhtd $(B)/dhtctl $(B)/dhtbench $(B)/storefill: LIBS = $(LIBS_PEER)
$(B)/corebench: $(B)/tests/lib/memory_catalogue.o $(B)/libnet.a $(B)/libchunker.a
$(B)/chunkbench: LIBS = $(LIBS_CHUNKER)
$(B)/corebench: LIBS = $(LIBS_NET)
$(B)/nullfs: LIBS = -lfuse3
$(B)/ringstat: $(B)/tests/unit/ringstat.o $(B)/tests/lib/ringkit.o $(B)/libnet.a $(B)/libchunker.a
$(B)/ringstat: LIBS = -lsodium
$(PROGRAMS) $(BENCHES) $(B)/ringstat $(addprefix $(B)/tests/mount/,exercise/exercise posix/posix):
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS)

$(B)/libtest.a: $(call objs,tests/lib,$(KITS))
$(addprefix $(B)/tests/unit/,$(UNIT_FAKE)): $(B)/tests/lib/fakedht.o
$(addprefix $(B)/tests/unit/,$(UNIT_CORE)): $(B)/tests/lib/corekit.o $(B)/libnet.a
$(addprefix $(B)/tests/unit/,$(UNIT_WHOLE)): $(call objs,tests/lib,netkit leasekit volumekit memory_catalogue repairkit) $(B)/libnet.a
$(addprefix $(B)/tests/unit/,$(UNIT_MEMBERS)): $(call objs,tests/lib,no_machines swarm netkit memory_catalogue) $(B)/libnet.a
$(addprefix $(B)/tests/unit/,$(UNIT_FAKED) test_replicas): $(call objs,tests/lib,fakepeer)
$(addprefix $(B)/tests/unit/,$(UNIT_DISK)): $(call objs,tests/lib,diskkit)
$(TESTS): $(B)/libtest.a
$(addprefix $(B)/tests/unit/,$(UNIT_FS)) $(B)/tests/fault/test_crash: $(B)/libfs.a
$(addprefix $(B)/tests/unit/,$(UNIT_LOOP)): $(call objs,tests/lib,peerkit)
$(addprefix $(B)/tests/unit/,$(UNIT_DHT) $(UNIT_FS) $(UNIT_PEER)) $(addprefix $(B)/tests/fault/,$(FAULT)): $(B)/libpeer.a $(B)/libdht.a $(B)/libnet.a
$(addprefix $(B)/tests/unit/,$(UNIT_NET)): $(B)/libnet.a
$(TESTS): $(B)/libchunker.a
$(TESTS): LIBS = $(LIBS_FS)
$(addprefix $(B)/tests/unit/,$(UNIT_NET)): LIBS = $(LIBS_DHT)
$(addprefix $(B)/tests/,$(addprefix unit/,$(UNIT_DHT)) $(addprefix fault/,$(filter-out test_crash,$(FAULT)))): LIBS = $(LIBS_PEER)
$(addprefix $(B)/tests/unit/,$(UNIT_CHUNKER)): LIBS = $(LIBS_CHUNKER)
$(TESTS): %: %.o
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -lcmocka $(LIBS)

# The simulator has no network and no mount: it links neither libuv nor libfuse.  Its program knows its commit.
$(B)/sim: $(call objs,tests/sim,$(SIM)) $(B)/tests/sim/commit.c $(B)/libnet.a $(B)/libchunker.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_NET)
$(B)/tests/sim/commit.c: always
	$(Q)mkdir -p $(@D)
	$(Q)echo "const char sim_commit[] = \"$$(git describe --always --dirty 2>/dev/null)\";" >$@.new
	$(Q)cmp -s $@.new $@ && rm $@.new || mv $@.new $@

# The same without optimisation: its traces must be the same.
sims: $(B)/sim
	$(Q)$(if $(SAN),,$(MAKE) --no-print-directory B=build-debug CFLAGS='-O0 -g' build-debug/sim)

# SEED=n make sim: that seed once more, with all that happens in it.
SEED ?= 1
sim: $(B)/sim
	$< --seed $(SEED) --trace $(SIM_FLAGS)

$(B)/tests/mount/helpers/%.so: tests/mount/helpers/%.c
	$(Q)mkdir -p $(@D)
	$(Q)$(CC) -D_GNU_SOURCE $(WARN) -O2 -fPIC -shared -o $@ $<

unit: $(TESTS)
ringstat: $(B)/ringstat
$(B)/tests/cluster/helpers/faultproxy: $(B)/tests/cluster/helpers/faultproxy.o
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ -luv
$(B)/tests/cluster/helpers/liar: $(B)/tests/cluster/helpers/liar.o $(B)/libnet.a $(B)/libchunker.a
	$(Q)$(CC) $(ALL_LDFLAGS) -o $@ $^ $(LIBS_NET)

cluster-helpers: $(addprefix $(B)/tests/cluster/helpers/,$(CLUSTER_HELPERS))
mount-helpers: $(addprefix $(B)/tests/mount/,posix/posix $(MOUNT_HELPERS))

test: deps-test
	$(Q)$(MAKE) --no-print-directory all unit mount-helpers cluster-helpers sims
	$(Q)B=$(B) tests/run unit fault mount cluster sim

soak: deps-test deps-fuzz
	$(Q)$(MAKE) --no-print-directory all unit mount-helpers cluster-helpers sims
	$(Q)B=$(B) SOAK=1 tests/run unit fault mount cluster soak sim
	$(Q)$(MAKE) --no-print-directory fuzz

bench: deps-bench
	$(Q)$(MAKE) --no-print-directory all
	$(Q)B=$(B) tools/bench

bench-cluster: deps-bench
	$(Q)$(MAKE) --no-print-directory all $(B)/storefill
	$(Q)B=$(B) tools/bench-cluster

# Fuzz targets: tests/fuzz/NAME.c with its corpus in tests/fuzz/NAME/.  clang's libFuzzer.
SECONDS ?= 60
fuzz: $(addprefix build-fuzz/,$(FUZZ))
	$(Q)for f in $(FUZZ); do tests/fuzz/run build-fuzz/$$f $(SECONDS) || exit 1; done
build-fuzz/fuzz_node: tests/lib/memory_catalogue.c
build-fuzz/fuzz_keyfile: $(addprefix dht/peer/,keyfile.c identity.c volume.c)
build-fuzz/fuzz_settings: $(addprefix dht/,peer/settings.c peer/endpoint.c program/config.c program/home.c program/size.c)
build-fuzz/fuzz_control: $(addprefix dht/control/,wire.c channel.c call.c metrics.c)
build-fuzz/fuzz_shelf: $(filter dht/peer/shelf%,$(patsubst %,dht/peer/%.c,$(PEER)))
build-fuzz/%: tests/fuzz/%.c $(addsuffix .c,$(addprefix chunker/,$(CHUNKER)) $(addprefix dht/,$(DHT)) $(addprefix dht/net/,$(NET))) | deps-fuzz
	$(Q)mkdir -p build-fuzz
	$(Q)clang $(CPPFLAGS) -std=gnu11 -g -O1 -pthread -fsanitize=fuzzer,address,undefined \
	    -fno-sanitize-recover=all -o $@ $^ $(LIBS_PEER)

install: all
	install -d $(addprefix $(DESTDIR)$(PREFIX)/,bin lib/systemd/system share/doc/dhtfs share/man/man1 share/man/man5)
	install -m 755 $(B)/dhtfs $(B)/dhtd $(B)/dhtctl $(DESTDIR)$(PREFIX)/bin
	install -m 644 tools/man/dhtfs.1 tools/man/dhtd.1 tools/man/dhtctl.1 $(DESTDIR)$(PREFIX)/share/man/man1
	install -m 644 tools/man/dhtfs.conf.5 $(DESTDIR)$(PREFIX)/share/man/man5
	install -m 644 tools/systemd/dhtd.service $(DESTDIR)$(PREFIX)/lib/systemd/system
	install -m 644 tools/systemd/dhtfs.mount.example $(DESTDIR)$(PREFIX)/share/doc/dhtfs

clean:
	rm -rf build build-*

-include $(shell find $(B) -name '*.d' 2>/dev/null)
