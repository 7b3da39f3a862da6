/* The plugin border: plain C, the only thing that crosses it. C99 and C++20 clean.
 *
 * A plugin is a shared library that exports exactly one symbol, mortise_plugin_v1, and carries an ELF note
 * (mortise/abi_base.h, MORTISE_NOTE_*) that is read from the file before the library is opened. It provides
 * one or more entries of four interfaces: scheme, architecture, kernels, container.
 *
 * Rules that hold for every struct and table here:
 *  - the first member is mortise_head {size, version}; the side that WROTE the struct sets size = sizeof;
 *    a reader may touch a field iff it lies within size (MORTISE_HAS); never compare sizes with ==;
 *  - structs and tables only grow at the end within this major; an optional function never becomes required;
 *  - strings and arrays passed in are borrowed for the call; lists come back through visitor callbacks and
 *    are copied by the receiver during the call; handles have exactly one closing function;
 *  - no function throws, unwinds, exits or keeps the caller's floating-point mode changed;
 *  - unknown enum values are refused with an error, never undefined.
 * Tables marked [R] are required entries, [O] may be null.
 * Threads: match, open and describe calls come from one thread at a time per plugin; kernel run functions
 * are called by all threads of the host's team at once.
 * Change history: core/abi/HISTORY.md.
 */
#ifndef MORTISE_ABI_H
#define MORTISE_ABI_H

#include "mortise/abi_architecture.h"
#include "mortise/abi_base.h"
#include "mortise/abi_container.h"
#include "mortise/abi_kernels.h"
#include "mortise/abi_quant.h"
#include "mortise/abi_scheme.h"

#endif
