// Offsets of abi_scheme.h, pinned: see pins.h.
#include "abi/pins.h"

AT_LEAST(mortise_match, 256);
OFFSET(mortise_match, head, 0);
OFFSET(mortise_match, verdict, 8);
OFFSET(mortise_match, score, 12);
OFFSET(mortise_match, reason, 16);

AT_LEAST(mortise_module, 128);
OFFSET(mortise_module, head, 0);
OFFSET(mortise_module, name, 8);
OFFSET(mortise_module, canonical, 24);
OFFSET(mortise_module, kind, 40);
OFFSET(mortise_module, class_count, 44);
OFFSET(mortise_module, classes, 48);
OFFSET(mortise_module, experts, 56);
OFFSET(mortise_module, rows, 64);
OFFSET(mortise_module, columns, 72);
OFFSET(mortise_module, n_parts, 80);
OFFSET(mortise_module, part_names, 88);
OFFSET(mortise_module, part_rows, 96);
OFFSET(mortise_module, suffix, 104);
OFFSET(mortise_module, has_bias, 120);
OFFSET(mortise_module, transposed, 124);
OFFSET(mortise_module, stack, 128);
OFFSET(mortise_module, expert, 144);

AT_LEAST(mortise_answer, 64);
OFFSET(mortise_answer, head, 0);
OFFSET(mortise_answer, plain, 8);
OFFSET(mortise_answer, reserved, 12);
OFFSET(mortise_answer, rule, 16);
OFFSET(mortise_answer, node, 32);
OFFSET(mortise_answer, note, 40);
OFFSET(mortise_answer, spec, 56);

AT_LEAST(mortise_cache_answer, 64);
OFFSET(mortise_cache_answer, head, 0);
OFFSET(mortise_cache_answer, encoding, 8);
OFFSET(mortise_cache_answer, bits, 12);
OFFSET(mortise_cache_answer, per_head, 16);
OFFSET(mortise_cache_answer, affine, 20);
OFFSET(mortise_cache_answer, n_fields, 24);
OFFSET(mortise_cache_answer, reserved, 28);
OFFSET(mortise_cache_answer, fields, 32);
OFFSET(mortise_cache_answer, letters, 40);
OFFSET(mortise_cache_answer, rule, 48);
OFFSET(mortise_cache_answer, scale_divisor, 64);

AT_LEAST(mortise_rule, 48);
OFFSET(mortise_rule, head, 0);
OFFSET(mortise_rule, pattern_kind, 8);
OFFSET(mortise_rule, optional, 12);
OFFSET(mortise_rule, pattern, 16);
OFFSET(mortise_rule, matches, 32);
OFFSET(mortise_rule, node, 40);

AT_LEAST(mortise_quantizer, 56);
OFFSET(mortise_quantizer, head, 0);
OFFSET(mortise_quantizer, method, 8);
OFFSET(mortise_quantizer, compute, 12);
OFFSET(mortise_quantizer, divisor, 16);
OFFSET(mortise_quantizer, zero_scale, 24);
OFFSET(mortise_quantizer, code_min, 32);
OFFSET(mortise_quantizer, code_max, 40);
OFFSET(mortise_quantizer, clamp, 48);
OFFSET(mortise_quantizer, exponent_rule, 52);

AT_LEAST(mortise_target, 96);
OFFSET(mortise_target, head, 0);
OFFSET(mortise_target, plain, 8);
OFFSET(mortise_target, reserved, 12);
OFFSET(mortise_target, spec, 16);
OFFSET(mortise_target, quantizer, 24);
OFFSET(mortise_target, reason, 80);
OFFSET(mortise_target, recipe, 96);
OFFSET(mortise_target, slice, 152);

AT_LEAST(mortise_recipe, 56);
OFFSET(mortise_recipe, flags, 0);
OFFSET(mortise_recipe, quotient, 4);
OFFSET(mortise_recipe, amax_floor, 8);
OFFSET(mortise_recipe, zero_amax, 16);
OFFSET(mortise_recipe, scale_floor, 24);
OFFSET(mortise_recipe, second_divisor, 32);
OFFSET(mortise_recipe, shared, 40);

AT_LEAST(mortise_option, 32);
OFFSET(mortise_option, key, 0);
OFFSET(mortise_option, value, 16);

AT_LEAST(mortise_scheme_v1, 88);
OFFSET(mortise_scheme_v1, head, 0);
OFFSET(mortise_scheme_v1, match, 8);
OFFSET(mortise_scheme_v1, open, 16);
OFFSET(mortise_scheme_v1, close, 24);
OFFSET(mortise_scheme_v1, module, 32);
OFFSET(mortise_scheme_v1, cache, 40);
OFFSET(mortise_scheme_v1, rules, 48);
OFFSET(mortise_scheme_v1, open_writer, 56);
OFFSET(mortise_scheme_v1, close_writer, 64);
OFFSET(mortise_scheme_v1, target, 72);
OFFSET(mortise_scheme_v1, write_config, 80);
OFFSET(mortise_scheme_v1, config_copy, 88);
OFFSET(mortise_scheme_v1, target_cache, 104);
OFFSET(mortise_scheme_v1, write_files, 112);
