// Offsets of abi_container.h, pinned: see pins.h.
#include "abi/pins.h"

AT_LEAST(mortise_source, 48);
OFFSET(mortise_source, head, 0);
OFFSET(mortise_source, context, 8);
OFFSET(mortise_source, size, 16);
OFFSET(mortise_source, name, 24);
OFFSET(mortise_source, read, 40);

AT_LEAST(mortise_container_tensor, 72);
OFFSET(mortise_container_tensor, head, 0);
OFFSET(mortise_container_tensor, name, 8);
OFFSET(mortise_container_tensor, dtype, 24);
OFFSET(mortise_container_tensor, rank, 28);
OFFSET(mortise_container_tensor, shape, 32);
OFFSET(mortise_container_tensor, encoding, 40);
OFFSET(mortise_container_tensor, offset, 56);
OFFSET(mortise_container_tensor, bytes, 64);

AT_LEAST(mortise_container_sink, 40);
OFFSET(mortise_container_sink, head, 0);
OFFSET(mortise_container_sink, context, 8);
OFFSET(mortise_container_sink, tensor, 16);
OFFSET(mortise_container_sink, file, 24);
OFFSET(mortise_container_sink, metadata, 32);

AT_LEAST(mortise_container_v1, 40);
OFFSET(mortise_container_v1, head, 0);
OFFSET(mortise_container_v1, name_space, 8);
OFFSET(mortise_container_v1, probe, 24);
OFFSET(mortise_container_v1, open, 32);
