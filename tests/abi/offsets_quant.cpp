// Offsets of abi_quant.h, pinned: see pins.h.
#include "abi/pins.h"

AT_LEAST(mortise_term, 32);
OFFSET(mortise_term, source, 0);
OFFSET(mortise_term, reserved, 4);
OFFSET(mortise_term, div, 8);
OFFSET(mortise_term, mod, 16);
OFFSET(mortise_term, stride, 24);

AT_LEAST(mortise_plane, 336);
OFFSET(mortise_plane, bits, 0);
OFFSET(mortise_plane, n_terms, 4);
OFFSET(mortise_plane, offset, 8);
OFFSET(mortise_plane, terms, 16);

AT_LEAST(mortise_layout, 1016);
OFFSET(mortise_layout, n_planes, 0);
OFFSET(mortise_layout, reserved, 4);
OFFSET(mortise_layout, planes, 8);

AT_LEAST(mortise_shape, 56);
OFFSET(mortise_shape, rank, 0);
OFFSET(mortise_shape, reserved, 4);
OFFSET(mortise_shape, dims, 8);

AT_LEAST(mortise_field, 1384);
OFFSET(mortise_field, head, 0);
OFFSET(mortise_field, role, 8);
OFFSET(mortise_field, encoding, 12);
OFFSET(mortise_field, bits, 16);
OFFSET(mortise_field, flags, 20);
OFFSET(mortise_field, experts, 24);
OFFSET(mortise_field, rows, 32);
OFFSET(mortise_field, columns, 40);
OFFSET(mortise_field, tensor, 48);
OFFSET(mortise_field, drop_rule, 64);
OFFSET(mortise_field, n_dtypes, 80);
OFFSET(mortise_field, dtypes, 84);
OFFSET(mortise_field, n_shapes, 112);
OFFSET(mortise_field, reserved, 116);
OFFSET(mortise_field, shapes, 120);
OFFSET(mortise_field, layout, 344);
OFFSET(mortise_field, default_value, 1360);
OFFSET(mortise_field, stored_bias, 1368);
OFFSET(mortise_field, stored_bias_word, 1376);
OFFSET(mortise_field, reserved2, 1380);

AT_LEAST(mortise_level, 48);
OFFSET(mortise_level, role, 0);
OFFSET(mortise_level, divide, 4);
OFFSET(mortise_level, row_group, 8);
OFFSET(mortise_level, column_group, 16);
OFFSET(mortise_level, constant, 24);
OFFSET(mortise_level, flat, 32);
OFFSET(mortise_level, n_row_splits, 36);
OFFSET(mortise_level, row_splits, 40);

AT_LEAST(mortise_activation, 72);
OFFSET(mortise_activation, granularity, 0);
OFFSET(mortise_activation, encoding, 4);
OFFSET(mortise_activation, bits, 8);
OFFSET(mortise_activation, dynamic, 12);
OFFSET(mortise_activation, asymmetric, 16);
OFFSET(mortise_activation, exponent_rule, 20);
OFFSET(mortise_activation, scale_encoding, 24);
OFFSET(mortise_activation, second_level, 28);
OFFSET(mortise_activation, group, 32);
OFFSET(mortise_activation, divisor, 40);
OFFSET(mortise_activation, amax_floor, 48);
OFFSET(mortise_activation, scale_floor, 56);
OFFSET(mortise_activation, zero_scale, 64);

AT_LEAST(mortise_spec, 448);
OFFSET(mortise_spec, head, 0);
OFFSET(mortise_spec, experts, 8);
OFFSET(mortise_spec, rows, 16);
OFFSET(mortise_spec, columns, 24);
OFFSET(mortise_spec, encoding, 32);
OFFSET(mortise_spec, bits, 36);
OFFSET(mortise_spec, n_fields, 40);
OFFSET(mortise_spec, n_levels, 44);
OFFSET(mortise_spec, fields, 48);
OFFSET(mortise_spec, levels, 56);
OFFSET(mortise_spec, offset_kind, 200);
OFFSET(mortise_spec, has_cast, 204);
OFFSET(mortise_spec, offset_constant, 208);
OFFSET(mortise_spec, zero_map, 216);
OFFSET(mortise_spec, addend_scale, 264);
OFFSET(mortise_spec, addend_sign, 312);
OFFSET(mortise_spec, activation, 320);
OFFSET(mortise_spec, cast_encoding, 392);
OFFSET(mortise_spec, rotation_block, 396);
OFFSET(mortise_spec, rotation_factor, 400);
OFFSET(mortise_spec, scale_addend, 408);
OFFSET(mortise_spec, activation_ties, 416);
OFFSET(mortise_spec, reserved, 420);
OFFSET(mortise_spec, activation_amax_ceiling, 424);
OFFSET(mortise_spec, n_table, 432);
OFFSET(mortise_spec, table, 440);
