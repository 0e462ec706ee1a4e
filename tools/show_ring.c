#include "tools/show_ring.h"

#include <stdbool.h>
#include <stdio.h>
#include <string.h>

#include "dht/program/size.h"
#include "tools/show.h"

#define ID_SHOWN  12		/* digits of an id: enough to name a member */
#define BAR_LEN	  32
#define HEARD_OLD_MS 60000u

static const char *text_of(const uint8_t *b, size_t len, const char *name)
{
	struct field f;

	return record_find(b, len, name, &f) ? f.value : "";
}

static bool has(const uint8_t *b, size_t len, const char *name)
{
	struct field f;

	return record_find(b, len, name, &f);
}

static unsigned long long number(const uint8_t *b, size_t len, const char *name)
{
	return (unsigned long long)show_number(b, len, name);
}

/* ---- status ---- */

/* Of the others nobody has told us what they still lack. */
static const char *own_part(const uint8_t *b, size_t len)
{
	if (number(b, len, "slots_incomplete") + number(b, len, "slots_held") > 0)
		return "this node's repair is not done";
	return number(b, len, "slots_mine") > 0 ? "this node has all that it should keep" : "this node keeps none of them";
}

/* Is it safe now?  First in words. */
static void show_safety(const uint8_t *b, size_t len)
{
	unsigned long long full = number(b, len, "slots_full"), reduced = number(b, len, "slots_reduced");
	unsigned long long single = number(b, len, "slots_single"), none = number(b, len, "slots_none");
	unsigned long long all = full + reduced + single + none, replicas = number(b, len, "replicas");

	fputs("  copies     ", stdout);
	if (all == 0)
		puts("not known yet: the ring is still being found");
	else if (none > 0)
		printf("%.1f %% of the ring CAN'T BE READ now: no owner of it answers\n", 100.0 * (double)none / (double)all);
	else if (single > 0)
		printf("%.1f %% of the ring has ONE copy that can be reached\n", 100.0 * (double)single / (double)all);
	else if (reduced > 0)
		printf("all can be read; %.1f %% of the ring has fewer than %llu owners that answer\n",
		    100.0 * (double)reduced / (double)all, replicas);
	else
		printf("all owners answer, %llu of each chunk%s; %s\n", replicas,
		    replicas < number(b, len, "ring_replicas") ? " (more machines are needed for more)" : "", own_part(b, len));
	if (all > full)
		printf("             of 100 parts: full %.1f, reduced %.1f, single %.1f, none %.1f\n",
		    100.0 * (double)full / (double)all, 100.0 * (double)reduced / (double)all,
		    100.0 * (double)single / (double)all, 100.0 * (double)none / (double)all);
}

static void show_going_out(const uint8_t *b, size_t len)
{
	char text[SIZE_TEXT_LEN];

	fputs("  going out  ", stdout);
	if (number(b, len, "records_foreign") == 0)
		puts("nothing: no chunk here waits for its owners");
	else
		printf("%llu chunks, %s: not yet with all their owners\n", number(b, len, "records_foreign"),
		    size_format(number(b, len, "foreign_bytes"), text));
}

/* Would the loss of this machine lose anything of its volume? */
static void show_volume_safety(const uint8_t *b, size_t len)
{
	unsigned long long unsafe = number(b, len, "unsafe"), unleased = number(b, len, "unleased");
	const char *why = *text_of(b, len, "head_error") ? text_of(b, len, "head_error") : text_of(b, len, "unsafe_error");
	bool waits = show_number(b, len, "head_waits");

	printf("  volume     %.*s, head %llu\n", ID_SHOWN, text_of(b, len, "volume"), number(b, len, "head"));
	fputs("  safe       ", stdout);
	if (show_number(b, len, "alone")) {
		puts("NO: there is no other machine in the ring yet");
		return;
	}
	if (number(b, len, "head") == 0 && !waits) {
		puts("NO: no snapshot of it has been taken yet");
		return;
	}
	if (unsafe + unleased == 0 && !waits) {
		puts("yes: without this machine all could be restored as of its newest snapshot");
		return;
	}
	printf("%s: ", unsafe > 0 || (waits && *why) ? "NO" : "nearly");
	if (unsafe > 0)
		printf("%llu chunks are on too few other machines; ", unsafe);
	if (unleased > 0)
		printf("%llu chunks are in no lease yet; ", unleased);
	printf("the newest snapshot is %s\n", !waits ? "published" : *why ? "not published" : "not published yet");
	/* Out of the ring: that has been said. */
	if (*why && !*text_of(b, len, "ring_over") && (unsafe > 0 || waits))
		printf("             %s\n", why);
}

static void show_followed(const uint8_t *b, size_t len)
{
	printf("  following  %.*s, head %llu; the ring was asked ", ID_SHOWN, text_of(b, len, "volume"), number(b, len, "head"));
	put_duration(stdout, show_number(b, len, "head_asked_s"));
	puts(" ago");
	if (*text_of(b, len, "head_error"))
		printf("             %s\n", text_of(b, len, "head_error"));
}

static void show_volume_status(const uint8_t *b, size_t len)
{
	if (!has(b, len, "volume"))
		return;
	if (show_number(b, len, "followed"))
		show_followed(b, len);
	else
		show_volume_safety(b, len);
}

void show_volume(const uint8_t *b, size_t len)
{
	puts(text_of(b, len, "volume"));
	if (!show_number(b, len, "followed"))
		printf("  id         %s\n", text_of(b, len, "id"));
	show_volume_status(b, len);
}

static void show_repair(const uint8_t *b, size_t len)
{
	unsigned long long incomplete = number(b, len, "slots_incomplete"), held = number(b, len, "slots_held");

	fputs("  repair     ", stdout);
	if (incomplete + held == 0) {
		puts("nothing to do");
		return;
	}
	printf("%llu of our %llu slots wait for copies", incomplete, number(b, len, "slots_mine"));
	if (held > 0)
		printf("; %llu are to be handed over", held);
	if (has(b, len, "repair_left_s")) {
		fputs("; about ", stdout);
		put_duration(stdout, show_number(b, len, "repair_left_s"));
		fputs(" left", stdout);
	}
	putchar('\n');
}

static void show_members(const uint8_t *b, size_t len)
{
	static const struct {
		const char *name, *text;
	} kinds[] = {
		{ "members_down", "down" }, { "members_suspect", "in doubt" }, { "members_draining", "draining" },
	};

	printf("  members    %llu", number(b, len, "members"));
	for (size_t i = 0; i < sizeof(kinds) / sizeof(*kinds); i++) {
		if (number(b, len, kinds[i].name) > 0)
			printf(", %llu %s", number(b, len, kinds[i].name), kinds[i].text);
	}
	if (show_number(b, len, "maintenance")) {
		fputs("; maintenance: no spare copies for ", stdout);
		put_duration(stdout, show_number(b, len, "maintenance_s"));
	}
	putchar('\n');
}

static void show_slow(const uint8_t *b, size_t len)
{
	if (!*text_of(b, len, "slowest"))
		return;
	printf("  slowest    %.*s %s: %.1f ms a read\n", ID_SHOWN, text_of(b, len, "slowest"),
	    text_of(b, len, "slowest_address"), (double)number(b, len, "slowest_us") / 1000);
}

static void show_network(const uint8_t *b, size_t len)
{
	char in[SIZE_TEXT_LEN], out[SIZE_TEXT_LEN];

	printf("  network    %llu links, %s in, %s out", number(b, len, "links"),
	    size_format(number(b, len, "received_bytes"), in), size_format(number(b, len, "sent_bytes"), out));
	if (number(b, len, "refused") > 0)
		printf("; %llu connections refused", number(b, len, "refused"));
	if (number(b, len, "wrong_answers") > 0)
		printf("; %llu WRONG ANSWERS", number(b, len, "wrong_answers"));
	putchar('\n');
}

/* To the others, who keeps nothing is one who drains. */
static const char *ring_state(const uint8_t *b, size_t len)
{
	const char *state = text_of(b, len, "ring_state");

	return strcmp(state, "draining") == 0 && !show_number(b, len, "keeps_copies") ? "here, keeps no copies for others" : state;
}

void show_ring_status(const uint8_t *b, size_t len)
{
	const char *over = text_of(b, len, "ring_over");

	if (!has(b, len, "node"))
		return;
	printf("  node       %.*s of ring %.*s: %s%s\n", ID_SHOWN, text_of(b, len, "node"), ID_SHOWN,
	    text_of(b, len, "ring"), *over ? "OUT OF THE RING" : ring_state(b, len),
	    show_number(b, len, "ring_open") ? "; the ring is OPEN" : "");
	if (*over)
		printf("             %s\n", over);
	show_volume_status(b, len);
	/* All else is what it knew when that happened. */
	if (*over)
		return;
	show_safety(b, len);
	show_going_out(b, len);
	show_repair(b, len);
	show_members(b, len);
	show_slow(b, len);
	show_network(b, len);
}

/* ---- peers ---- */

static void put_heard(const uint8_t *b, size_t len)
{
	uint64_t ms = show_number(b, len, "heard_ms");

	if (show_number(b, len, "self") || !has(b, len, "heard_ms"))
		fputs("-", stdout);
	else if (ms < HEARD_OLD_MS)
		printf("%.1f s ago", (double)ms / 1000);
	else
		put_duration(stdout, ms / 1000);
}

void show_peer(const uint8_t *b, size_t len)
{
	static bool begun;
	char latency[24] = "-";

	if (!begun)
		printf("%-*s  %-24s %-12s %6s  %-14s %9s  %s\n", ID_SHOWN, "ID", "ADDRESS", "ZONE", "WEIGHT", "STATE",
		    "LATENCY", "HEARD");
	begun = true;
	if (show_number(b, len, "latency_us") > 0)
		snprintf(latency, sizeof(latency), "%.1f ms", (double)show_number(b, len, "latency_us") / 1000);
	printf("%.*s  %-24s %-12s %6llu  %-14s %9s  ", ID_SHOWN, text_of(b, len, "id"), text_of(b, len, "address"),
	    text_of(b, len, "zone"), number(b, len, "weight"), text_of(b, len, "state"), latency);
	put_heard(b, len);
	if (show_number(b, len, "wrong_answers") > 0)
		printf("  %llu wrong answers", number(b, len, "wrong_answers"));
	putchar('\n');
}

/* ---- ring ---- */

/* The whole circle, unrolled: in each part the fewest owners of a slot that answer. */
static void show_circle(const uint8_t *b, size_t len)
{
	unsigned long long replicas = number(b, len, "replicas");
	const char *cover = text_of(b, len, "cover");

	printf("ring %.*s: %llu members, %llu down, %llu copies\n", ID_SHOWN, text_of(b, len, "ring"),
	    number(b, len, "members"), number(b, len, "members_down"), replicas);
	if (!*cover) {
		puts("there is no table yet: the ring is still being found");
		return;
	}
	fputs("0 [", stdout);
	for (; *cover; cover++)
		putchar((unsigned long long)(*cover - '0') == replicas ? '#' : *cover == '0' ? '!' : *cover);
	printf("] %llu\n", number(b, len, "slots"));
	puts("   # all owners answer; a digit: so few in some slot; !: none\n");
}

void show_ring(const uint8_t *b, size_t len)
{
	static unsigned long long slots, replicas;
	char bar[BAR_LEN + 1];
	long long moved;
	double share;
	int full;

	if (has(b, len, "cover")) {
		slots = number(b, len, "slots");
		replicas = number(b, len, "replicas");
		show_circle(b, len);
		return;
	}
	/* Of all that is kept; the longest bar is a member that has part in every slot. */
	share = slots > 0 ? (double)number(b, len, "slots") / (double)slots : 0;
	full = (int)(share * BAR_LEN + 0.5);
	memset(bar, show_number(b, len, "down") ? '.' : '#', (size_t)full);
	memset(bar + full, ' ', (size_t)(BAR_LEN - full));
	bar[BAR_LEN] = '\0';
	moved = (long long)number(b, len, "slots") - (long long)number(b, len, "slots_before");
	printf("%.*s |%s| %5.1f %%  %-12s %-24s %s", ID_SHOWN, text_of(b, len, "id"), bar,
	    replicas > 0 ? 100 * share / (double)replicas : 0, text_of(b, len, "zone"), text_of(b, len, "address"),
	    text_of(b, len, "state"));
	if (moved != 0)
		printf(", %+lld slots lately", moved);
	putchar('\n');
}

/* ---- where, repair, paths ---- */

void show_where(const uint8_t *b, size_t len)
{
	/* Of those that are next on the walk, most have no reason to have it. */
	if (!show_number(b, len, "owner") && strcmp(text_of(b, len, "copy"), "lacks it") == 0)
		return;
	printf("%-5s  %.*s  %-24s %-12s %s\n", show_number(b, len, "owner") ? "owner" : "next", ID_SHOWN, text_of(b, len, "id"),
	    text_of(b, len, "address"), text_of(b, len, "zone"), text_of(b, len, "copy"));
}

void show_repaired(const uint8_t *b, size_t len)
{
	unsigned long long left = number(b, len, "slots_incomplete") + number(b, len, "slots_held");

	if (left + number(b, len, "moving") == 0) {
		puts("all copies that this node knows of are where they should be");
		return;
	}
	printf("%llu slots are not complete yet, %llu chunks are not with all their owners", left, number(b, len, "moving"));
	if (number(b, len, "members_down") > 0)
		printf("; %llu members are down", number(b, len, "members_down"));
	putchar('\n');
}

void show_path(const uint8_t *b, size_t len)
{
	show_text(text_of(b, len, "path"));
	puts(strcmp(text_of(b, len, "type"), "directory") == 0 ? "/" : "");
}
