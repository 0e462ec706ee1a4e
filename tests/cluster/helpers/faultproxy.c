/*
 * faultproxy LISTEN TARGET: a TCP proxy that misbehaves as it is told, one command a line on its standard input:
 *
 *	pass			everything goes through (at first)
 *	delay MS		each byte arrives so much later, in order
 *	rate BYTES		so many a second, each way
 *	stall			nothing goes through any more; connections stay open, new ones are taken
 *	corrupt N		of each N bytes one has a bit flipped; 0: none
 *	drop N			of each N pieces one is left out, as no TCP ever does; 0: none
 *	cut			all connections are reset, once
 *	refuse			new connections are reset, too
 *	quit
 *
 * Addresses are "HOST:PORT", numbers.  It says "ready" when it listens, and "ok" to each command.
 */
#include <netinet/in.h>
#include <signal.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <uv.h>

#define PIECE	(64 * 1024)
#define HELD	(1 << 20)	/* bytes one way holds back; more are not read */
#define TICK_MS	2u

struct piece {
	struct piece *next;
	uint64_t due;
	size_t len, sent;
	char bytes[];
};

/* From one end to the other. */
struct way {
	struct pair *pair;
	uv_tcp_t from;
	struct way *other;
	struct piece *first, **last;
	size_t held;
	double budget;		/* bytes that ${rate} still allows */
	bool reading, ended, told;
};

struct pair {
	struct pair *next, **at;
	struct way way[2];	/* 0: from who connected */
	int closing;
	bool dead, connected;
};

static struct {
	bool stall, refuse;
	unsigned int delay, corrupt, drop, corrupted, dropped;
	double rate;
} mode;
static uv_loop_t *loop;
static struct pair *pairs;
static struct sockaddr_storage target;
static char shared[PIECE];

static void closed(uv_handle_t *h)
{
	struct way *w = h->data;
	struct pair *p = w->pair;

	if (++p->closing < 2)
		return;
	for (int i = 0; i < 2; i++)
		while (p->way[i].first) {
			struct piece *x = p->way[i].first;

			p->way[i].first = x->next;
			free(x);
		}
	*p->at = p->next;
	if (p->next)
		p->next->at = p->at;
	free(p);
}

static void end(struct pair *p, bool reset)
{
	if (p->dead)
		return;
	p->dead = true;
	for (int i = 0; i < 2; i++) {
		struct linger linger = { .l_onoff = 1, .l_linger = 0 };
		uv_os_fd_t fd;

		if (reset && uv_fileno((uv_handle_t *)&p->way[i].from, &fd) == 0)
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &linger, sizeof(linger));
		uv_close((uv_handle_t *)&p->way[i].from, closed);
	}
}

static void give(uv_handle_t *h, size_t wanted, uv_buf_t *out)
{
	(void)h, (void)wanted;
	*out = uv_buf_init(shared, sizeof(shared));
}

static void spoil(char *bytes, size_t len)
{
	for (size_t i = 0; mode.corrupt && i < len; i++)
		if (++mode.corrupted >= mode.corrupt) {
			mode.corrupted = 0;
			bytes[i] ^= 0x10;
		}
}

static void got(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	struct way *w = s->data;
	struct piece *x;

	if (n < 0) {
		w->ended = true;
		uv_read_stop(s);
		w->reading = false;
		if (n != UV_EOF)
			end(w->pair, true);
		return;
	}
	if (mode.drop && ++mode.dropped >= mode.drop) {
		mode.dropped = 0;
		return;
	}
	x = malloc(sizeof(*x) + (size_t)n);
	if (!x)
		abort();
	x->next = NULL;
	x->due = uv_now(loop) + mode.delay;
	x->len = (size_t)n;
	x->sent = 0;
	memcpy(x->bytes, b->base, (size_t)n);
	spoil(x->bytes, (size_t)n);
	*w->last = x;
	w->last = &x->next;
	w->held += (size_t)n;
	if (w->held >= HELD) {
		uv_read_stop(s);
		w->reading = false;
	}
}

/* What is due goes out, as far as the other end takes it. */
static void flush(struct way *w)
{
	struct pair *p = w->pair;

	while (w->first && !p->dead && !mode.stall && w->first->due <= uv_now(loop)) {
		struct piece *x = w->first;
		size_t len = x->len - x->sent;
		uv_buf_t b;
		int n;

		if (mode.rate > 0 && (double)len > w->budget)
			len = w->budget > 0 ? (size_t)w->budget : 0;
		b = uv_buf_init(x->bytes + x->sent, (unsigned int)len);
		n = len > 0 ? uv_try_write((uv_stream_t *)&w->other->from, &b, 1) : 0;
		if (n == UV_EAGAIN || n == 0)
			return;
		if (n < 0) {
			end(p, true);
			return;
		}
		w->budget -= n;
		x->sent += (size_t)n;
		w->held -= (size_t)n;
		if (x->sent < x->len)
			continue;
		w->first = x->next;
		if (!w->first)
			w->last = &w->first;
		free(x);
	}
	if (!w->reading && !w->ended && p->connected && w->held < HELD / 2)
		w->reading = uv_read_start((uv_stream_t *)&w->from, give, got) == 0;
	if (w->ended && !w->first && !w->told) {
		w->told = true;
		/* Half-closed connections are nobody's here. */
		end(p, false);
	}
}

static void tick(uv_timer_t *t)
{
	struct pair *next;

	(void)t;
	for (struct pair *p = pairs; p; p = next) {
		next = p->next;
		for (int i = 0; i < 2 && !p->dead; i++) {
			struct way *w = &p->way[i];

			w->budget += mode.rate * TICK_MS / 1000;
			if (w->budget > mode.rate / 10)
				w->budget = mode.rate / 10;
			flush(w);
		}
	}
}

static void connected(uv_connect_t *c, int status)
{
	struct pair *p = c->data;

	free(c);
	if (status < 0)
		end(p, true);
	else
		p->connected = true;
}

static void came(uv_stream_t *listener, int status)
{
	struct pair *p = calloc(1, sizeof(*p));
	uv_connect_t *c = calloc(1, sizeof(*c));

	if (status < 0 || !p || !c)
		abort();
	for (int i = 0; i < 2; i++) {
		p->way[i].pair = p;
		p->way[i].other = &p->way[1 - i];
		p->way[i].last = &p->way[i].first;
		uv_tcp_init(loop, &p->way[i].from);
		p->way[i].from.data = &p->way[i];
	}
	p->next = pairs;
	p->at = &pairs;
	if (pairs)
		pairs->at = &p->next;
	pairs = p;
	uv_accept(listener, (uv_stream_t *)&p->way[0].from);
	c->data = p;
	if (mode.refuse || uv_tcp_connect(c, &p->way[1].from, (struct sockaddr *)&target, connected) < 0) {
		free(c);
		end(p, true);
	}
}

static bool command(const char *line)
{
	unsigned int n = 0;

	if (strcmp(line, "pass") == 0)
		memset(&mode, 0, sizeof(mode));
	else if (sscanf(line, "delay %u", &n) == 1)
		mode.delay = n;
	else if (sscanf(line, "rate %u", &n) == 1)
		mode.rate = n;
	else if (sscanf(line, "corrupt %u", &n) == 1)
		mode.corrupt = n;
	else if (sscanf(line, "drop %u", &n) == 1)
		mode.drop = n;
	else if (strcmp(line, "stall") == 0)
		mode.stall = true;
	else if (strcmp(line, "refuse") == 0)
		mode.refuse = true;
	else if (strcmp(line, "cut") == 0)
		for (struct pair *p = pairs; p; p = p->next)
			end(p, true);
	else
		return false;
	return true;
}

static void told(uv_stream_t *s, ssize_t n, const uv_buf_t *b)
{
	static char line[256];
	static size_t len;

	(void)s;
	if (n < 0)
		exit(0);
	for (ssize_t i = 0; i < n; i++) {
		if (b->base[i] != '\n') {
			if (len + 1 < sizeof(line))
				line[len++] = b->base[i];
			continue;
		}
		line[len] = '\0';
		len = 0;
		if (strcmp(line, "quit") == 0)
			exit(0);
		puts(command(line) ? "ok" : "what?");
		fflush(stdout);
	}
}

static bool parse(const char *text, struct sockaddr_storage *out)
{
	char host[128];
	const char *colon = strrchr(text, ':');

	if (!colon || (size_t)(colon - text) >= sizeof(host))
		return false;
	memcpy(host, text, (size_t)(colon - text));
	host[colon - text] = '\0';
	if (uv_ip4_addr(host, atoi(colon + 1), (struct sockaddr_in *)out) == 0)
		return true;
	return uv_ip6_addr(host, atoi(colon + 1), (struct sockaddr_in6 *)out) == 0;
}

int main(int argc, char **argv)
{
	struct sockaddr_storage at;
	uv_tcp_t listener;
	uv_timer_t timer;
	uv_pipe_t in;
	int rc;

	if (argc != 3 || !parse(argv[1], &at) || !parse(argv[2], &target)) {
		fprintf(stderr, "usage: faultproxy LISTEN TARGET\n");
		return 2;
	}
	/* uv_try_write() to who has gone is an error, not the end. */
	signal(SIGPIPE, SIG_IGN);
	loop = uv_default_loop();
	uv_tcp_init(loop, &listener);
	rc = uv_tcp_bind(&listener, (struct sockaddr *)&at, 0);
	if (rc == 0)
		rc = uv_listen((uv_stream_t *)&listener, 512, came);
	if (rc < 0) {
		fprintf(stderr, "faultproxy: %s: %s\n", argv[1], uv_strerror(rc));
		return 1;
	}
	uv_timer_init(loop, &timer);
	uv_timer_start(&timer, tick, 0, TICK_MS);
	uv_pipe_init(loop, &in, 0);
	if (uv_pipe_open(&in, 0) == 0)
		uv_read_start((uv_stream_t *)&in, give, told);
	puts("ready");
	fflush(stdout);
	return uv_run(loop, UV_RUN_DEFAULT);
}
