/* The border must stay C99: this file is compiled as C and linked into the test. */
#include "mortise/abi.h"

int mortise_abi_compiles_as_c(void);
int mortise_abi_compiles_as_c(void) { return sizeof(mortise_host) > 0; }
