/* curve_test: counts multiplications on the curve, in the place of libsodium's own.  For one program: it is defined here. */
#ifndef TESTS_UNIT_CURVE_TEST_H
#define TESTS_UNIT_CURVE_TEST_H

#include <dlfcn.h>
#include <sodium.h>

static unsigned int multiplications;

int crypto_scalarmult(unsigned char *q, const unsigned char *n, const unsigned char *p)
{
	int (*real)(unsigned char *, const unsigned char *, const unsigned char *);

	*(void **)&real = dlsym(RTLD_NEXT, "crypto_scalarmult");
	multiplications++;
	return real(q, n, p);
}

int crypto_scalarmult_base(unsigned char *q, const unsigned char *n)
{
	int (*real)(unsigned char *, const unsigned char *);

	*(void **)&real = dlsym(RTLD_NEXT, "crypto_scalarmult_base");
	multiplications++;
	return real(q, n);
}

#endif
