#include "types.h"

#include <array>

#include "mortise/abi.h"

namespace gguf {
namespace {

constexpr uint32_t u8 = MORTISE_DTYPE_U8;
constexpr std::array types = {
    TensorType{0, "", MORTISE_DTYPE_F32, 1, 4},
    TensorType{1, "", MORTISE_DTYPE_F16, 1, 2},
    TensorType{2, "q4_0", u8, 32, 18},
    TensorType{3, "q4_1", u8, 32, 20},
    TensorType{4, "q4_2", u8, 0, 0},
    TensorType{5, "q4_3", u8, 0, 0},
    TensorType{6, "q5_0", u8, 32, 22},
    TensorType{7, "q5_1", u8, 32, 24},
    TensorType{8, "q8_0", u8, 32, 34},
    TensorType{9, "q8_1", u8, 32, 36},
    TensorType{10, "q2_k", u8, 256, 84},
    TensorType{11, "q3_k", u8, 256, 110},
    TensorType{12, "q4_k", u8, 256, 144},
    TensorType{13, "q5_k", u8, 256, 176},
    TensorType{14, "q6_k", u8, 256, 210},
    TensorType{15, "q8_k", u8, 256, 292},
    TensorType{16, "iq2_xxs", u8, 256, 66},
    TensorType{17, "iq2_xs", u8, 256, 74},
    TensorType{18, "iq3_xxs", u8, 256, 98},
    TensorType{19, "iq1_s", u8, 256, 50},
    TensorType{20, "iq4_nl", u8, 32, 18},
    TensorType{21, "iq3_s", u8, 256, 110},
    TensorType{22, "iq2_s", u8, 256, 82},
    TensorType{23, "iq4_xs", u8, 256, 136},
    TensorType{24, "", MORTISE_DTYPE_I8, 1, 1},
    TensorType{25, "", MORTISE_DTYPE_I16, 1, 2},
    TensorType{26, "", MORTISE_DTYPE_I32, 1, 4},
    TensorType{27, "", MORTISE_DTYPE_I64, 1, 8},
    TensorType{28, "", MORTISE_DTYPE_F64, 1, 8},
    TensorType{29, "iq1_m", u8, 256, 56},
    TensorType{30, "", MORTISE_DTYPE_BF16, 1, 2},
    TensorType{31, "q4_0_4_4", u8, 0, 0},
    TensorType{32, "q4_0_4_8", u8, 0, 0},
    TensorType{33, "q4_0_8_8", u8, 0, 0},
    TensorType{34, "tq1_0", u8, 256, 54},
    TensorType{35, "tq2_0", u8, 256, 66},
    TensorType{36, "iq4_nl_4_4", u8, 0, 0},
    TensorType{37, "iq4_nl_4_8", u8, 0, 0},
    TensorType{38, "iq4_nl_8_8", u8, 0, 0},
    TensorType{39, "mxfp4", u8, 32, 17},
    TensorType{40, "nvfp4", u8, 64, 36},
};

constexpr bool numbers_are_positions() {
    for (uint32_t i = 0; i < types.size(); ++i)
        if (types[i].id != i) return false;
    return true;
}
static_assert(numbers_are_positions());

}  // namespace

const TensorType* find_type(uint32_t id) { return id < types.size() ? &types[id] : nullptr; }

}  // namespace gguf
