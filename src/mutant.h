/* Bugs that can be switched on, to test the test: see docs/simulation.md. In the product's build
 * WF_MUTANT() is false, and nothing of it is left. */
#ifndef WF_MUTANT_H
#define WF_MUTANT_H

#ifdef WALFERRY_MUTANTS
#include "mutant_list.h"
#define WF_MUTANT(name) __builtin_expect(wf_mutant == WF_MUTANT_##name, 0)
#else
#define WF_MUTANT(name) 0
#endif

#endif
