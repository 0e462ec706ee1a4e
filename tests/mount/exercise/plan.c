#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <linux/falloc.h>
#include <stdlib.h>
#include <string.h>

#include "tests/mount/exercise/plan.h"

#define LINE_LEN	512

static const struct {
	const char *name, *fields;
} kinds[OP_KINDS] = {
	[OP_OPEN] = { "open", "spf" }, [OP_CLOSE] = { "close", "s" },
	[OP_READ] = { "read", "sl" }, [OP_PREAD] = { "pread", "sol" },
	[OP_PREADV] = { "preadv", "sol" }, [OP_WRITE] = { "write", "slc" },
	[OP_PWRITE] = { "pwrite", "solc" }, [OP_PWRITEV] = { "pwritev", "solc" },
	[OP_LSEEK] = { "lseek", "so" }, [OP_FTRUNCATE] = { "ftruncate", "sl" },
	[OP_FALLOCATE] = { "fallocate", "solf" }, [OP_COPY] = { "copy", "soSOl" },
	[OP_HOLES] = { "holes", "s" }, [OP_FSYNC] = { "fsync", "sf" }, [OP_PUSH] = { "push", "s" },
	[OP_FORGET] = { "forget", "s" }, [OP_MAP] = { "map", "sol" },
	[OP_STORE] = { "store", "solc" }, [OP_LOAD] = { "load", "sol" },
	[OP_MSYNC] = { "msync", "s" }, [OP_UNMAP] = { "unmap", "s" },
	[OP_PRIVATE] = { "private", "solc" },
	[OP_MKDIR] = { "mkdir", "p" }, [OP_RMDIR] = { "rmdir", "p" }, [OP_UNLINK] = { "unlink", "p" },
	[OP_RENAME] = { "rename", "pPf" }, [OP_LINK] = { "link", "pP" },
	[OP_SYMLINK] = { "symlink", "pn" }, [OP_READLINK] = { "readlink", "p" },
	[OP_CHMOD] = { "chmod", "pf" }, [OP_CHOWN] = { "chown", "pf" },
	[OP_UTIMENS] = { "utimens", "pn" }, [OP_SETXATTR] = { "setxattr", "pflc" },
	[OP_GETXATTR] = { "getxattr", "pf" }, [OP_REMOVEXATTR] = { "removexattr", "pf" },
	[OP_TRUNCATE] = { "truncate", "pl" }, [OP_LIST] = { "list", "p" }, [OP_STAT] = { "stat", "p" },
	[OP_SYNCDIR] = { "syncdir", "p" }, [OP_ADDRESS] = { "address", "p" },
	[OP_RECORD] = { "record", "sf" }, [OP_RECORD_MAP] = { "record-map", "sf" },
	[OP_RECORD_READ] = { "record-read", "sf" }, [OP_RECORD_SYNC] = { "record-sync", "s" },
	[OP_TAIL] = { "tail", "slf" }, [OP_APPEND] = { "append", "f" },
};
static const char *const fill_names[FILLS] = { "noise", "zero", "byte", "text", "again" };
static const char *const end_names[] = { "check", "remount", "kill" };

/* Longest first, where one flag's bits are part of another's. */
static const struct {
	enum kind kind;
	const char *name;
	unsigned int bits;
} flag_names[] = {
	{ OP_OPEN, "rdwr", O_RDWR }, { OP_OPEN, "wronly", O_WRONLY }, { OP_OPEN, "creat", O_CREAT },
	{ OP_OPEN, "excl", O_EXCL }, { OP_OPEN, "trunc", O_TRUNC }, { OP_OPEN, "append", O_APPEND },
	{ OP_OPEN, "direct", O_DIRECT }, { OP_OPEN, "sync", O_SYNC }, { OP_OPEN, "dsync", O_DSYNC },
	{ OP_FALLOCATE, "keep", FALLOC_FL_KEEP_SIZE }, { OP_FALLOCATE, "punch", FALLOC_FL_PUNCH_HOLE },
	{ OP_FALLOCATE, "zero", FALLOC_FL_ZERO_RANGE },
	{ OP_RENAME, "noreplace", 1 /* RENAME_NOREPLACE */ },
	{ OP_RENAME, "exchange", 2 /* RENAME_EXCHANGE */ },
};

const char *op_fields(enum kind kind)
{
	return kinds[kind].fields;
}

static size_t flags_text(const struct op *op, char *out, size_t size)
{
	unsigned int left = op->flags;
	size_t n = (size_t)snprintf(out, size, " flags=");

	for (size_t i = 0; i < sizeof(flag_names) / sizeof(flag_names[0]); i++) {
		if (flag_names[i].kind != op->kind || (left & flag_names[i].bits) != flag_names[i].bits)
			continue;
		n += (size_t)snprintf(out + n, size - n, "%s|", flag_names[i].name);
		left &= ~flag_names[i].bits;
	}
	return n + (size_t)snprintf(out + n, size - n, "0%o", left);
}

const char *op_text(const struct op *op, char *out, size_t size)
{
	size_t n = (size_t)snprintf(out, size, "%u %s", op->thread, kinds[op->kind].name);

	for (const char *c = kinds[op->kind].fields; *c && n < size; c++) {
		char *at = out + n;
		size_t left = size - n;

		switch (*c) {
		case 's': n += (size_t)snprintf(at, left, " slot=%u", op->slot); break;
		case 'S': n += (size_t)snprintf(at, left, " slot2=%u", op->slot2); break;
		case 'p': n += (size_t)snprintf(at, left, " path=%s", op->path); break;
		case 'P': n += (size_t)snprintf(at, left, " path2=%s", op->path2); break;
		case 'o': n += (size_t)snprintf(at, left, " off=%" PRIu64, op->off); break;
		case 'O': n += (size_t)snprintf(at, left, " off2=%" PRIu64, op->off2); break;
		case 'l': n += (size_t)snprintf(at, left, " len=%" PRIu64, op->len); break;
		case 'n': n += (size_t)snprintf(at, left, " salt=%u", op->salt); break;
		case 'f': n += flags_text(op, at, left); break;
		case 'c':
			n += (size_t)snprintf(at, left, " fill=%s salt=%u", fill_names[op->fill],
			    op->salt);
			break;
		}
	}
	return out;
}

void plan_print(const struct plan *plan, FILE *out)
{
	char line[LINE_LEN];

	fprintf(out, "exercise seed=%" PRIu64 " workers=%u threads=%u\n", plan->seed, plan->workers,
	    plan->threads);
	for (unsigned int r = 0; r < plan->n_rounds; r++) {
		const struct round *round = &plan->rounds[r];

		for (size_t i = 0; i < round->n_ops; i++)
			fprintf(out, "%s\n", op_text(&round->ops[i], line, sizeof(line)));
		fprintf(out, "end %s %u\n", end_names[round->end], round->after_ms);
	}
}

static bool flags_parse(enum kind kind, char *text, unsigned int *flags)
{
	char *end;

	*flags = 0;
	for (char *word = strsep(&text, "|"); word; word = strsep(&text, "|")) {
		size_t i = 0;

		if (word[0] >= '0' && word[0] <= '9') {
			*flags |= (unsigned int)strtoul(word, &end, 0);
			if (*end)
				return false;
			continue;
		}
		while (i < sizeof(flag_names) / sizeof(flag_names[0]) &&
		    (flag_names[i].kind != kind || strcmp(flag_names[i].name, word) != 0))
			i++;
		if (i == sizeof(flag_names) / sizeof(flag_names[0]))
			return false;
		*flags |= flag_names[i].bits;
	}
	return true;
}

static bool name_parse(const char *const *names, unsigned int n, const char *word, unsigned int *out)
{
	for (*out = 0; *out < n; (*out)++)
		if (strcmp(names[*out], word) == 0)
			return true;
	return false;
}

static bool path_parse(char *out, const char *value)
{
	return snprintf(out, PATH_LEN, "%s", value) < PATH_LEN;
}

static bool field_parse(struct op *op, const char *key, char *value)
{
	unsigned long long number;
	char *end;

	if (strcmp(key, "path") == 0)
		return path_parse(op->path, value);
	if (strcmp(key, "path2") == 0)
		return path_parse(op->path2, value);
	if (strcmp(key, "flags") == 0)
		return flags_parse(op->kind, value, &op->flags);
	if (strcmp(key, "fill") == 0)
		return name_parse(fill_names, FILLS, value, &op->fill);
	number = strtoull(value, &end, 10);
	if (*end)
		return false;
	if (strcmp(key, "slot") == 0)
		op->slot = (unsigned int)number % SLOTS;
	else if (strcmp(key, "slot2") == 0)
		op->slot2 = (unsigned int)number % SLOTS;
	else if (strcmp(key, "off") == 0)
		op->off = number;
	else if (strcmp(key, "off2") == 0)
		op->off2 = number;
	else if (strcmp(key, "len") == 0)
		op->len = number;
	else if (strcmp(key, "salt") == 0)
		op->salt = (unsigned int)number;
	else
		return false;
	return true;
}

static bool op_parse(struct op *op, char *line)
{
	char *word = strsep(&line, " "), *value, *end;
	unsigned int kind = 0;

	*op = (struct op){ .thread = (unsigned int)strtoul(word, &end, 10) };
	if (*end || !(word = strsep(&line, " ")))
		return false;
	while (kind < OP_KINDS && strcmp(kinds[kind].name, word) != 0)
		kind++;
	if (kind == OP_KINDS)
		return false;
	op->kind = kind;
	while ((value = strsep(&line, " "))) {
		word = strsep(&value, "=");
		if (!value || !field_parse(op, word, value))
			return false;
	}
	return true;
}

static bool round_add(struct plan *plan)
{
	struct round *rounds = realloc(plan->rounds, (plan->n_rounds + 1) * sizeof(*rounds));

	if (!rounds)
		return false;
	plan->rounds = rounds;
	rounds[plan->n_rounds++] = (struct round){ 0 };
	return true;
}

static bool line_parse(struct plan *plan, bool *open, char *line)
{
	struct round *round;
	struct op op, *ops;
	char word[16];
	unsigned int end;

	if (!*open && !(*open = round_add(plan)))
		return false;
	round = &plan->rounds[plan->n_rounds - 1];
	if (sscanf(line, "end %15s %u", word, &round->after_ms) == 2) {
		*open = false;
		if (!name_parse(end_names, 3, word, &end))
			return false;
		round->end = end;
		return true;
	}
	if (!op_parse(&op, line) || op.thread >= plan->workers * plan->threads)
		return false;
	ops = realloc(round->ops, (round->n_ops + 1) * sizeof(op));
	if (!ops)
		return false;
	round->ops = ops;
	ops[round->n_ops++] = op;
	return true;
}

struct plan *plan_read(FILE *file)
{
	struct plan *plan = calloc(1, sizeof(*plan));
	char line[LINE_LEN];
	unsigned int number = 1;
	bool open = false;

	if (!plan)
		return NULL;
	if (!fgets(line, sizeof(line), file) ||
	    sscanf(line, "exercise seed=%" SCNu64 " workers=%u threads=%u", &plan->seed,
	    &plan->workers, &plan->threads) != 3 || plan->workers < 1 || plan->threads < 1 ||
	    plan->workers > THREADS_MAX || plan->threads > THREADS_MAX / plan->workers)
		goto err;
	while (fgets(line, sizeof(line), file)) {
		number++;
		line[strcspn(line, "\n")] = '\0';
		if (line[0] != '\0' && line[0] != '#' && !line_parse(plan, &open, line))
			goto err;
	}
	return plan;

err:
	fprintf(stderr, "exercise: line %u is no part of a plan\n", number);
	plan_free(plan);
	return NULL;
}

struct plan *plan_copy(const struct plan *plan)
{
	struct plan *copy = calloc(1, sizeof(*copy));

	if (!copy)
		return NULL;
	*copy = (struct plan){ plan->seed, plan->workers, plan->threads, 0, NULL };
	for (unsigned int r = 0; r < plan->n_rounds; r++) {
		const struct round *from = &plan->rounds[r];
		struct round *to;

		if (!round_add(copy))
			goto err;
		to = &copy->rounds[r];
		to->ops = malloc((from->n_ops + 1) * sizeof(*to->ops));
		if (!to->ops)
			goto err;
		if (from->n_ops > 0)
			memcpy(to->ops, from->ops, from->n_ops * sizeof(*to->ops));
		to->n_ops = from->n_ops;
		to->end = from->end;
		to->after_ms = from->after_ms;
	}
	return copy;

err:
	plan_free(copy);
	return NULL;
}

void plan_free(struct plan *plan)
{
	if (!plan)
		return;
	for (unsigned int r = 0; r < plan->n_rounds; r++)
		free(plan->rounds[r].ops);
	free(plan->rounds);
	free(plan);
}

size_t plan_ops(const struct plan *plan)
{
	size_t n = 0;

	for (unsigned int r = 0; r < plan->n_rounds; r++)
		n += plan->rounds[r].n_ops;
	return n;
}
