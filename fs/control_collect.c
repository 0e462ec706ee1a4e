/* gc: a collection that somebody asks for. */
#include <errno.h>
#include <time.h>

#include "fs/control.h"
#include "fs/fs.h"

#define TELL_MS 100

struct gc {
	struct call *call;
	struct timespec told;
	enum collect_phase phase;
};

static const char *const phases[] = {
	[COLLECT_WAIT] = "waiting",
	[COLLECT_MARK] = "marked",
	[COLLECT_REMOVE] = "removed",
	[COLLECT_CLEAN] = "cleaned",
};

static bool due(struct gc *g)
{
	struct timespec now;
	int64_t ms;

	clock_gettime(CLOCK_MONOTONIC, &now);
	ms = (now.tv_sec - g->told.tv_sec) * 1000 + (now.tv_nsec - g->told.tv_nsec) / 1000000;
	if (ms < TELL_MS)
		return false;
	g->told = now;
	return true;
}

static bool tell(void *arg, enum collect_phase phase, uint64_t done, uint64_t total)
{
	struct gc *g = arg;
	struct record *r = &g->call->record;

	if (!due(g))
		return true;
	if (phase != COLLECT_WAIT) {
		record_text(r, "phase", phases[phase]);
		record_number(r, phase == COLLECT_MARK ? "done" : "done_bytes", done);
		record_number(r, phase == COLLECT_MARK ? "total" : "total_bytes", total);
		if (call_answer(g->call, FRAME_PROGRESS) < 0)
			return false;
	}
	return channel_gone(&g->call->channel) == 0;
}

int command_gc(struct call *c)
{
	struct gc g = { .call = c };
	struct collect_result result;
	bool dry = call_truth(c, "dry_run");
	uint64_t cleaned;
	int r;

	r = collector_run(call_fs(c)->collector, dry, tell, &g, &result, &cleaned);
	if (r == -EROFS)
		return call_fail(c, r, "it is mounted read-only");
	if (r == -ECANCELED)
		return channel_gone(&c->channel) < 0 ? -EPIPE : r;
	if (r < 0)
		return r;
	record_truth(&c->record, "dry_run", dry);
	record_number(&c->record, "removed_chunks", result.garbage.chunks);
	record_number(&c->record, "removed_bytes", result.garbage.bytes);
	record_number(&c->record, "given_back_bytes", cleaned);
	record_number(&c->record, "old_chunks", result.old.chunks);
	record_number(&c->record, "old_bytes", result.old.bytes);
	record_number(&c->record, "bad", result.gone);
	return call_answer(c, FRAME_RECORD);
}
