// Offsets of abi_architecture.h, pinned: see pins.h.
#include "abi/pins.h"

AT_LEAST(mortise_digit, 24);
OFFSET(mortise_digit, div, 0);
OFFSET(mortise_digit, mod, 8);
OFFSET(mortise_digit, stride, 16);

AT_LEAST(mortise_row_map, 112);
OFFSET(mortise_row_map, offset, 0);
OFFSET(mortise_row_map, n_digits, 8);
OFFSET(mortise_row_map, reserved, 12);
OFFSET(mortise_row_map, digits, 16);

AT_LEAST(mortise_part, 48);
OFFSET(mortise_part, head, 0);
OFFSET(mortise_part, name, 8);
OFFSET(mortise_part, rows, 24);
OFFSET(mortise_part, units, 32);
OFFSET(mortise_part, bias, 40);
OFFSET(mortise_part, reserved, 44);

AT_LEAST(mortise_fusion, 40);
OFFSET(mortise_fusion, name, 0);
OFFSET(mortise_fusion, rows, 16);
OFFSET(mortise_fusion, maps, 24);
OFFSET(mortise_fusion, transposed, 32);
OFFSET(mortise_fusion, reserved, 36);

AT_LEAST(mortise_linear, 64);
OFFSET(mortise_linear, head, 0);
OFFSET(mortise_linear, n_parts, 8);
OFFSET(mortise_linear, partition, 12);
OFFSET(mortise_linear, parts, 16);
OFFSET(mortise_linear, columns, 24);
OFFSET(mortise_linear, column_units, 32);
OFFSET(mortise_linear, experts, 40);
OFFSET(mortise_linear, n_fusions, 48);
OFFSET(mortise_linear, head_of_model, 52);
OFFSET(mortise_linear, fusions, 56);

AT_LEAST(mortise_embedding, 40);
OFFSET(mortise_embedding, head, 0);
OFFSET(mortise_embedding, name, 8);
OFFSET(mortise_embedding, rows, 24);
OFFSET(mortise_embedding, columns, 32);

AT_LEAST(mortise_vector, 56);
OFFSET(mortise_vector, head, 0);
OFFSET(mortise_vector, name, 8);
OFFSET(mortise_vector, rows, 24);
OFFSET(mortise_vector, columns, 32);
OFFSET(mortise_vector, partition, 40);
OFFSET(mortise_vector, reserved, 44);
OFFSET(mortise_vector, units, 48);

AT_LEAST(mortise_alias, 64);
OFFSET(mortise_alias, head, 0);
OFFSET(mortise_alias, name_space, 8);
OFFSET(mortise_alias, canonical, 24);
OFFSET(mortise_alias, theirs, 40);
OFFSET(mortise_alias, rows, 56);

AT_LEAST(mortise_attr, 32);
OFFSET(mortise_attr, key, 0);
OFFSET(mortise_attr, n, 4);
OFFSET(mortise_attr, integer, 8);
OFFSET(mortise_attr, real, 16);
OFFSET(mortise_attr, array, 24);

AT_LEAST(mortise_op, 72);
OFFSET(mortise_op, head, 0);
OFFSET(mortise_op, kind, 8);
OFFSET(mortise_op, n_attrs, 12);
OFFSET(mortise_op, n_inputs, 16);
OFFSET(mortise_op, n_weights, 20);
OFFSET(mortise_op, n_outputs, 24);
OFFSET(mortise_op, attrs, 32);
OFFSET(mortise_op, inputs, 40);
OFFSET(mortise_op, weights, 48);
OFFSET(mortise_op, name, 56);

AT_LEAST(mortise_builder_api, 96);
OFFSET(mortise_builder_api, head, 0);
OFFSET(mortise_builder_api, config, 8);
OFFSET(mortise_builder_api, linear, 16);
OFFSET(mortise_builder_api, embedding, 24);
OFFSET(mortise_builder_api, vector, 32);
OFFSET(mortise_builder_api, op, 40);
OFFSET(mortise_builder_api, logits, 48);
OFFSET(mortise_builder_api, tie, 56);
OFFSET(mortise_builder_api, alias, 64);
OFFSET(mortise_builder_api, root, 72);
OFFSET(mortise_builder_api, drop, 80);
OFFSET(mortise_builder_api, limits, 88);

AT_LEAST(mortise_architecture_v1, 48);
OFFSET(mortise_architecture_v1, head, 0);
OFFSET(mortise_architecture_v1, n_names, 8);
OFFSET(mortise_architecture_v1, names, 16);
OFFSET(mortise_architecture_v1, n_types, 24);
OFFSET(mortise_architecture_v1, types, 32);
OFFSET(mortise_architecture_v1, build, 40);
