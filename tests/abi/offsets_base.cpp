// Offsets of abi_base.h, pinned: see pins.h.
#include "abi/pins.h"

AT_LEAST(mortise_head, 8);
OFFSET(mortise_head, size, 0);
OFFSET(mortise_head, version, 4);

AT_LEAST(mortise_str, 16);
OFFSET(mortise_str, data, 0);
OFFSET(mortise_str, size, 8);

AT_LEAST(mortise_config_api, 96);
OFFSET(mortise_config_api, head, 0);
OFFSET(mortise_config_api, kind, 8);
OFFSET(mortise_config_api, member, 16);
OFFSET(mortise_config_api, count, 24);
OFFSET(mortise_config_api, item, 32);
OFFSET(mortise_config_api, key, 40);
OFFSET(mortise_config_api, as_bool, 48);
OFFSET(mortise_config_api, as_int, 56);
OFFSET(mortise_config_api, as_real, 64);
OFFSET(mortise_config_api, as_string, 72);
OFFSET(mortise_config_api, mark_read, 80);
OFFSET(mortise_config_api, line, 88);

AT_LEAST(mortise_tensor, 80);
OFFSET(mortise_tensor, head, 0);
OFFSET(mortise_tensor, name, 8);
OFFSET(mortise_tensor, dtype, 24);
OFFSET(mortise_tensor, rank, 28);
OFFSET(mortise_tensor, shape, 32);
OFFSET(mortise_tensor, bytes, 40);
OFFSET(mortise_tensor, encoding, 48);
OFFSET(mortise_tensor, file, 64);

AT_LEAST(mortise_checkpoint_api, 48);
OFFSET(mortise_checkpoint_api, head, 0);
OFFSET(mortise_checkpoint_api, name_space, 8);
OFFSET(mortise_checkpoint_api, document, 16);
OFFSET(mortise_checkpoint_api, tensor, 24);
OFFSET(mortise_checkpoint_api, tensors_below, 32);
OFFSET(mortise_checkpoint_api, probe, 40);

AT_LEAST(mortise_error, 104);
OFFSET(mortise_error, head, 0);
OFFSET(mortise_error, code, 8);
OFFSET(mortise_error, reserved, 12);
OFFSET(mortise_error, what, 16);
OFFSET(mortise_error, subject, 32);
OFFSET(mortise_error, expected, 48);
OFFSET(mortise_error, found, 64);
OFFSET(mortise_error, fix, 80);
OFFSET(mortise_error, node, 96);

AT_LEAST(mortise_host, 64);
OFFSET(mortise_host, head, 0);
OFFSET(mortise_host, log, 8);
OFFSET(mortise_host, set_error, 16);
OFFSET(mortise_host, config, 24);
OFFSET(mortise_host, checkpoint, 32);
OFFSET(mortise_host, pattern_matches, 40);
OFFSET(mortise_host, decode_tile, 48);
OFFSET(mortise_host, prepare_input, 56);

AT_LEAST(mortise_entry, 40);
OFFSET(mortise_entry, head, 0);
OFFSET(mortise_entry, interface_kind, 8);
OFFSET(mortise_entry, minor, 12);
OFFSET(mortise_entry, id, 16);
OFFSET(mortise_entry, table, 32);

AT_LEAST(mortise_plugin, 56);
OFFSET(mortise_plugin, head, 0);
OFFSET(mortise_plugin, id, 8);
OFFSET(mortise_plugin, version, 24);
OFFSET(mortise_plugin, n_entries, 40);
OFFSET(mortise_plugin, entries, 48);

AT_LEAST(mortise_note, 136);
OFFSET(mortise_note, abi_major, 0);
OFFSET(mortise_note, abi_minor, 4);
OFFSET(mortise_note, id, 8);
OFFSET(mortise_note, version, 104);
