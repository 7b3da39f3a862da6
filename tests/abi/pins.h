// Offsets of the plugin border are pinned by static_asserts: a line never changes; a field that is appended
// adds one, and only the size of its struct grows. A failure to compile means: plugins that exist would
// break.
#pragma once

#include "mortise/abi.h"

#define OFFSET(type, field, bytes) static_assert(offsetof(type, field) == (bytes))
#define AT_LEAST(type, bytes) static_assert(sizeof(type) >= (bytes))
