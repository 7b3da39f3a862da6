// The decoded weights of one part, as a rank holds them.
#pragma once

#include <gtest/gtest.h>

#include <vector>

#include "load/part_stream.h"
#include "plan/plan.h"
#include "quant/decode.h"

namespace mortise::testing {

inline std::vector<float> weights_of(const plan::Planned& planned, uint32_t part) {
    const plan::PartPlan& p = planned.plan().parts[part];
    std::vector<float> out(p.n_rows * p.n_columns);  // [rows][columns]
    const auto read =
        load::for_each_tile(load::Origin(planned), part, {}, [&](const mortise_tile& tile) -> Status {
            quant::decode_tile(tile, out.data() + tile.row * p.n_columns);
            return {};
        });
    EXPECT_TRUE(read) << to_string(read.error());
    return out;
}

}  // namespace mortise::testing
