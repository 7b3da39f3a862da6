#include "load/diff.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <functional>
#include <map>
#include <new>

#include "load/digest.h"
#include "load/module_rewriter.h"
#include "load/vectors.h"
#include "plan/names.h"
#include "quant/decode.h"

namespace mortise::load {
namespace {

constexpr uint64_t tile_weights = uint64_t{1} << 18;

// Where a part of the digests lies in the plan.
struct Place {
    uint32_t part = plan::none;
    uint64_t expert = 0;
};

// One side: its plan, its books, its digests.
struct Side {
    explicit Side(const plan::Planned& planned)
        : origin(planned), ledger(planned.plan(), planned.checkpoint().catalog) {
        const plan::LoadPlan& plan = planned.plan();
        for (uint32_t p = 0; p < plan.parts.size(); ++p)
            for (uint64_t e = 0; e < plan.parts[p].experts; ++e)
                places[plan::member_name(plan.parts[p].name, plan.parts[p].number(e))] = {p, e};
        for (uint32_t v = 0; v < plan.vectors.size(); ++v)
            vectors[plan.parameters[plan.vectors[v].parameter].owner] = v;
    }
    Origin origin;
    Ledger ledger;
    Digests digests;
    std::map<std::string, Place> places;
    std::map<std::string, uint32_t> vectors;

    const plan::PartPlan& part(const Place& place) const { return origin.plan.parts[place.part]; }
    uint32_t source_id(const Place& place) const {
        const plan::PartPlan& p = part(place);
        return p.sources.size() == 1 ? p.sources[0] : p.sources[place.expert];
    }
    const plan::Source& source(const Place& place) const { return origin.plan.sources[source_id(place)]; }
};

// Adds a pair of values to what is known of the difference.
void compare(Difference& d, uint64_t row, uint64_t column, float a, float b, double& squared) {
    ++d.weights;
    if (std::bit_cast<uint32_t>(a) == std::bit_cast<uint32_t>(b)) return;
    const double error = std::fabs(double{a} - b);
    if (d.changed++ == 0 || error > d.max_error || (std::isnan(error) && !std::isnan(d.max_error))) {
        d.max_error = error;
        d.row = row;
        d.column = column;
        d.value_a = a;
        d.value_b = b;
    }
    squared += error * error;
}

// The decoded rows of one part of one side.
class PartRows {
  public:
    static Result<PartRows> open(Side& side, const Place& place) {
        PartRows out(side, place);
        MORTISE_TRY(out.bytes_, read_module(side.ledger, side.source_id(place)));
        MORTISE_TRY(auto reader, quant::PartReader::make(side.source(place).spec, out.bytes_.fields, {}));
        out.reader_ = std::make_unique<quant::PartReader>(std::move(reader));
        return out;
    }
    Status read(uint64_t row, uint64_t count, std::vector<float>& out) {
        std::vector<uint64_t> rows(count);
        for (uint64_t i = 0; i < count; ++i) rows[i] = part_.rows_on_disk(row + i);
        MORTISE_CHECK(reader_->read({.rows = rows, .expert = expert_, .tile_row = row}, tile_));
        out.resize(count * part_.columns);
        quant::decode_tile(tile_.view(), out.data());
        return {};
    }

  private:
    PartRows(const Side& side, const Place& place)
        : part_(side.part(place)),
          expert_(side.source(place).spec.extent.experts > 1 ? part_.number(place.expert) : 0) {}
    const plan::PartPlan& part_;
    uint64_t expert_;
    ModuleBytes bytes_;
    std::unique_ptr<quant::PartReader> reader_;
    quant::Tile tile_;
};

class Differ {
  public:
    Differ(const plan::Planned& a, const plan::Planned& b, Team& team) : a_(a), b_(b), team_(team) {}
    Result<DiffReport> run(const Progress& progress);

  private:
    void match_parts();
    Status match_vectors();
    Status locate();
    Status locate(Difference& difference);

    Side a_, b_;
    Team& team_;
    DiffReport report_;
};

std::string described(const Side& side, const PartDigest& digest) {
    return side.source(side.places.at(digest.name)).spec.describe() + " [" + std::to_string(digest.n) + "," +
           std::to_string(digest.k) + "]";
}

// Both lists are sorted by name; `both` gets equal names, `one` gets (only in a, item).
template <class Item, class Both, class One>
void merge(const std::vector<Item>& a, const std::vector<Item>& b, const Both& both, const One& one) {
    size_t i = 0, j = 0;
    while (i < a.size() || j < b.size()) {
        if (j == b.size() || (i < a.size() && a[i].name < b[j].name))
            one(true, a[i++]);
        else if (i == a.size() || b[j].name < a[i].name)
            one(false, b[j++]);
        else
            both(a[i++], b[j++]);
    }
}

void Differ::match_parts() {
    const auto both = [&](const PartDigest& a, const PartDigest& b) {
        ++report_.parts;
        Difference d{.name = a.name, .a = described(a_, a), .b = described(b_, b)};
        d.values = a.values != b.values || a.n != b.n || a.k != b.k;
        d.spec = a.spec != b.spec;
        d.act = a.act != b.act;
        if (d.values || d.spec || d.act) report_.differences.push_back(std::move(d));
    };
    const auto one = [&](bool in_a, const PartDigest& part) {
        const std::string what = described(in_a ? a_ : b_, part);
        report_.differences.push_back({.name = part.name,
                                       .in_a = in_a,
                                       .in_b = !in_a,
                                       .a = in_a ? what : "",
                                       .b = in_a ? "" : what,
                                       .values = true});
    };
    merge(a_.digests.parts, b_.digests.parts, both, one);
}

Status Differ::match_vectors() {
    Status status;
    const auto both = [&](const VectorDigest& a, const VectorDigest& b) {
        ++report_.vectors;
        if (a.values == b.values || !status) return;
        const auto left = read_vector(a_.origin, a_.ledger, a_.vectors.at(a.name)),
                   right = read_vector(b_.origin, b_.ledger, b_.vectors.at(b.name));
        if (!left || !right) {
            status = std::unexpected(left ? right.error() : left.error());
            return;
        }
        Difference d{.name = a.name,
                     .a = "vector of " + std::to_string(left->size()),
                     .b = "vector of " + std::to_string(right->size()),
                     .values = true};
        double squared = 0;
        for (size_t i = 0; left->size() == right->size() && i < left->size(); ++i)
            compare(d, 0, i, (*left)[i], (*right)[i], squared);
        d.rms = d.weights ? std::sqrt(squared / static_cast<double>(d.weights)) : 0;
        report_.differences.push_back(std::move(d));
    };
    const auto one = [&](bool in_a, const VectorDigest& vector) {
        report_.differences.push_back({.name = vector.name,
                                       .in_a = in_a,
                                       .in_b = !in_a,
                                       .a = in_a ? "vector" : "",
                                       .b = in_a ? "" : "vector",
                                       .values = true});
    };
    merge(a_.digests.vectors, b_.digests.vectors, both, one);
    return status;
}

Status Differ::locate(Difference& d) {
    const auto a = a_.places.find(d.name), b = b_.places.find(d.name);
    if (!d.values || a == a_.places.end() || b == b_.places.end()) return {};
    const plan::PartPlan &left = a_.part(a->second), &right = b_.part(b->second);
    if (left.rows != right.rows || left.columns != right.columns) return {};
    MORTISE_TRY(PartRows from, PartRows::open(a_, a->second));
    MORTISE_TRY(PartRows to, PartRows::open(b_, b->second));
    const uint64_t step = std::max<uint64_t>(1, tile_weights / left.columns);
    std::vector<float> x, y;
    double squared = 0;
    for (uint64_t row = 0; row < left.rows; row += step) {
        const uint64_t count = std::min(step, left.rows - row);
        MORTISE_CHECK(from.read(row, count, x));
        MORTISE_CHECK(to.read(row, count, y));
        for (size_t i = 0; i < x.size(); ++i)
            compare(d, row + i / left.columns, i % left.columns, x[i], y[i], squared);
    }
    d.rms = d.weights ? std::sqrt(squared / static_cast<double>(d.weights)) : 0;
    return {};
}

Status Differ::locate() {
    FirstError error;
    std::atomic<size_t> next{0};
    team_.run([&](int, int) {
        for (size_t i; (i = next++) < report_.differences.size() && !error.failed();) {
            try {
                error.set(locate(report_.differences[i]));
            } catch (const std::bad_alloc&) {
                error.set(fail(Code::out_of_memory, "no memory for the tensors of one module"));
            }
        }
    });
    return error.take();
}

Result<DiffReport> Differ::run(const Progress& progress) {
    for (Side* side : {&a_, &b_}) {
        MORTISE_TRY(side->digests, digest(side->origin, team_, {.modules = false}, progress));
    }
    match_parts();
    MORTISE_CHECK(match_vectors());
    MORTISE_CHECK(locate());
    std::ranges::stable_sort(report_.differences, {}, &Difference::name);
    return std::move(report_);
}

}  // namespace

bool DiffReport::same_values() const { return std::ranges::none_of(differences, &Difference::values); }
bool DiffReport::same() const {
    return same_values() && std::ranges::none_of(differences, &Difference::spec);
}

Result<DiffReport> diff(const plan::Planned& a, const plan::Planned& b, Team& team,
                        const Progress& progress) {
    return Differ(a, b, team).run(progress);
}

}  // namespace mortise::load
