/* suite: how a test program begins: with what it says, and what the environment asks of it.  Brings cmocka with it. */
#ifndef TESTS_SUITE_H
#define TESTS_SUITE_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

/** suite_seed(usual): SEED, else ${usual}; a line says which. */
uint64_t suite_seed(uint64_t usual);

/** suite_run(tests), suite_run_with(tests, before, after): what main() returns.  TAP comes out, a line as soon as it is whole;
 * of the tests those whose names match the pattern ONLY, where it is given. */
#define suite_run(tests) suite_run_with(tests, NULL, NULL)
#define suite_run_with(tests, before, after) (suite_begin(), cmocka_run_group_tests(tests, before, after))
void suite_begin(void);

#endif
