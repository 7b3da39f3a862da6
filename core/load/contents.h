// Obligations: what the plan promised about contents, checked against the bytes. Thread-safe.
#pragma once

#include "load/ledger.h"
#include "load/part_stream.h"
#include "quant/reader.h"

namespace mortise::load {

// What the plan asks of one field; nothing() when it asks nothing.
struct Duties {
    quant::ContentRules rules;
    bool shape = false;                 // the elements are the shape of the module
    std::vector<uint32_t> obligations;  // indexes in the plan
    bool nothing() const { return obligations.empty(); }
};
Duties duties_of(const Ledger& ledger, uint32_t source, uint32_t field);

// Effect: checks rows [row0, row0 + rows) of one expert. Errors: value_*, naming file, tensor and element.
Status check_rows(Ledger& ledger, const Duties& duties, uint32_t source, uint32_t field,
                  const quant::FieldBytes& bytes, uint64_t expert, uint64_t row0, uint64_t rows);

// Effect: checks every row of every expert of a field whose bytes are all there, and marks its duties as met.
// Duties that are met already are not checked again.
Status check_field(Ledger& ledger, uint32_t source, uint32_t field, const quant::FieldBytes& bytes);

// Effect: marks as met what the parts' tiles have covered.
void mark_met(Ledger& ledger, const Duties& duties);

// Effect: reads and checks every tensor with an obligation that nobody has met: dropped tensors, fields that
// no part pulls. Requires: all parts and vectors are through.
Status check_remaining(const Origin& origin, Ledger& ledger);

}  // namespace mortise::load
