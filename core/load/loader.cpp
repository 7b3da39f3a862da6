#include "load/loader.h"

#include <chrono>
#include <map>
#include <new>
#include <optional>

#include "load/contents.h"
#include "load/ledger.h"
#include "load/memory_limit.h"
#include "load/model.h"
#include "load/provider_call.h"
#include "load/reporter.h"
#include "load/shared_table.h"
#include "load/vectors.h"

namespace mortise::load {
namespace {

using Clock = std::chrono::steady_clock;

double seconds_since(Clock::time_point start) {
    return std::chrono::duration<double>(Clock::now() - start).count();
}

// Roles that the file leaves out and the spec fills with a default.
void note_defaults(const plan::LoadPlan& plan, Receipt& receipt) {
    std::vector<bool> moved(plan.parameters.size());
    for (const plan::Move& move : plan.moves) moved[move.parameter] = true;
    std::map<std::pair<uint32_t, double>, uint64_t> defaults;
    for (size_t i = 0; i < moved.size(); ++i)
        if (!moved[i] && plan.parameters[i].optional)
            ++defaults[{plan.parameters[i].role, plan.parameters[i].default_value}];
    for (const auto& [key, count] : defaults)
        receipt.notes.push_back(std::to_string(count) + " absent optional " +
                                std::string(quant::role_name(key.first)) + " taken as " +
                                std::to_string(key.second));
}

// One load or one verification, from the first byte to the closed books.
class Loading {
  public:
    Loading(const Origin& origin, Team& team, const Progress& progress)
        : origin_(origin),
          plan_(origin.plan),
          team_(team),
          ledger_(origin.plan, origin.catalog),
          reporter_(progress, origin, ledger_) {}

    Status share_table(Model::Rep& rep);
    Status bind(Model::Rep& rep);  // kernels and their memory
    Status load_parts(Model::Rep& rep);
    Status verify_parts();  // those that no kernel has taken
    Status load_vectors(std::vector<std::vector<float>>* out);
    Result<Receipt> close();

  private:
    Status load_part(Model::Rep::Bound& bound, const plan::KernelPlan& kernel, uint32_t p);

    Origin origin_;
    const plan::LoadPlan& plan_;
    Team& team_;
    Ledger ledger_;
    Reporter reporter_;
    std::vector<bool> loaded_ = std::vector<bool>(plan_.parts.size());
    std::optional<SharedTable> shared_;
    std::vector<std::string> notes_;
    Clock::time_point start_ = Clock::now();
};

uint64_t aligned(uint64_t at, uint64_t alignment) {
    const uint64_t step = std::max<uint64_t>(alignment, 64);
    return (at + step - 1) / step * step;
}

std::string megabytes(uint64_t bytes) { return std::to_string((bytes + 500000) / 1000000) + " MB"; }

Status Loading::share_table(Model::Rep& rep) {
    rep.kernel_plans = plan_.kernels;
    MORTISE_TRY(shared_, find_shared_table(origin_, ledger_));
    if (!shared_) return {};
    const plan::KernelPlan& embedding = plan_.kernels[shared_->embedding];
    notes_.push_back(plan_.parts[shared_->kernel.parts[0]].name + " equals " +
                     plan_.parts[embedding.parts[0]].name + " bit for bit: one table serves both, " +
                     megabytes(embedding.packed_bytes[0]) + " saved");
    rep.kernel_plans[shared_->head] = shared_->kernel;
    return {};
}

// One arena per provider and device; every part has its place in it.
Status Loading::bind(Model::Rep& rep) {
    struct Place {
        uint64_t bytes = 0, alignment = 64;
        std::vector<mortise_address*> addresses;
    };
    std::map<std::pair<const mortise_kernels_v1*, uint32_t>, Place> places;
    rep.kernels.resize(plan_.kernels.size());
    for (size_t k = 0; k < plan_.kernels.size(); ++k) {
        if (shared_ && k == shared_->embedding) continue;
        const plan::KernelPlan& kernel = rep.kernel_plans[k];
        Model::Rep::Bound& bound = rep.kernels[k];
        bound.provider = kernel.provider;
        bound.packed.resize(kernel.parts.size());
        bound.extras.resize(kernel.parts.size());
        MORTISE_CHECK(call_provider(kernel.provider_id, "create", [&] {
            return kernel.provider->create(&kernel.problem->abi(), &bound.kernel);
        }));
        Place& place = places[{kernel.provider, kernel.problem->abi().device_kind}];
        place.alignment = std::max(place.alignment, kernel.alignment);
        for (size_t p = 0; p < kernel.parts.size(); ++p) {
            place.bytes = aligned(place.bytes, kernel.alignment);
            bound.packed[p].offset = place.bytes;
            place.addresses.push_back(&bound.packed[p]);
            place.bytes += kernel.packed_bytes[p];
        }
    }
    for (auto& [key, place] : places) {
        MORTISE_TRY(DeviceMemory memory,
                    DeviceMemory::make(key.first, key.second, place.bytes, place.alignment));
        MORTISE_CHECK(memory.poison(&team_));
        for (mortise_address* address : place.addresses) address->base = memory.base();
        rep.memory.push_back(std::move(memory));
    }
    if (!shared_) return {};
    const Model::Rep::Bound& head = rep.kernels[shared_->head];
    rep.kernels[shared_->embedding] = {head.provider, head.kernel, head.packed, {}};
    return {};
}

Status Loading::load_part(Model::Rep::Bound& bound, const plan::KernelPlan& kernel, uint32_t p) {
    const mortise_problem& problem = kernel.problem->abi();
    StreamOptions options;
    options.row_tile = kernel.row_tile;
    options.cast = kernel.problem->spec(p).has_cast && problem.activations != MORTISE_ACTIVATIONS_EXACT;
    options.team = &team_;
    options.ledger = &ledger_;
    options.extras = &bound.extras[p];
    const auto pack = [&](const mortise_tile& tile) -> Status {
        mortise_tile view = tile;
        view.spec = &kernel.problem->spec(p);
        MORTISE_CHECK(call_provider(kernel.provider_id, "pack", [&] {
            return kernel.provider->pack(bound.kernel, p, &view, bound.packed[p]);
        }));
        reporter_.tick();
        return {};
    };
    MORTISE_CHECK(for_each_tile(origin_, kernel.parts[p], options, pack));
    const mortise_extras extras = bound.extras[p].abi();
    MORTISE_CHECK(call_provider(kernel.provider_id, "seal", [&] {
        return kernel.provider->seal(bound.kernel, p, &extras, bound.packed[p]);
    }));
    loaded_[kernel.parts[p]] = true;
    return {};
}

Status Loading::load_parts(Model::Rep& rep) {
    for (size_t k = 0; k < plan_.kernels.size(); ++k) {
        if (shared_ && k == shared_->embedding) continue;  // its part is verified, not packed
        for (uint32_t p = 0; p < plan_.kernels[k].parts.size(); ++p)
            MORTISE_CHECK(load_part(rep.kernels[k], rep.kernel_plans[k], p));
    }
    return {};
}

Status Loading::verify_parts() {
    Problems problems;
    for (uint32_t p = 0; p < plan_.parts.size(); ++p) {
        if (loaded_[p]) continue;
        quant::Extras extras;
        StreamOptions options{.team = &team_, .ledger = &ledger_, .extras = &extras};
        const auto look = [&](const mortise_tile&) -> Status {
            reporter_.tick();
            return {};
        };
        if (auto read = for_each_tile(origin_, p, options, look); !read) problems.add(read.error());
    }
    return std::move(problems).status();
}

Status Loading::load_vectors(std::vector<std::vector<float>>* out) {
    Problems problems;
    for (uint32_t v = 0; v < plan_.vectors.size(); ++v) {
        auto values = read_vector(origin_, ledger_, v);
        if (!values)
            problems.add(values.error());
        else if (out)
            out->push_back(std::move(*values));
    }
    return std::move(problems).status();
}

Result<Receipt> Loading::close() {
    MORTISE_CHECK(check_remaining(origin_, ledger_));
    MORTISE_CHECK(ledger_.reader.unchanged());
    MORTISE_CHECK(ledger_.close());
    reporter_.done();
    Receipt receipt;
    receipt.notes = notes_;
    receipt.tensors_read = ledger_.tensors_read();
    receipt.tensors_dropped = plan_.drops.size();
    receipt.bytes_read = ledger_.reader.bytes_read();
    receipt.elements_written = ledger_.elements_written();
    receipt.obligations_met = ledger_.obligations_met();
    receipt.values_checked = ledger_.values_checked;
    receipt.seconds = seconds_since(start_);
    note_defaults(plan_, receipt);
    return receipt;
}

// A file that changed under the load explains every other complaint about it.
Error prefer_changed(const Origin& origin, Error error) {
    if (error.code() == Code::out_of_memory) return error;
    auto same = checkpoint::TensorReader(origin.catalog).unchanged();
    return same ? std::move(error) : std::move(same).error();
}

template <class Body>
auto guarded(const Origin& origin, const Body& body) -> decltype(body()) {
    try {
        auto result = body();
        if (!result) return std::unexpected(prefer_changed(origin, std::move(result).error()));
        return result;
    } catch (const std::bad_alloc&) {
        auto fits = check_memory(origin.plan.memory, memory_limit());
        if (!fits) return std::unexpected(std::move(fits).error());
        return fail(Code::out_of_memory, "an allocation of the load failed");
    }
}

}  // namespace

Result<std::shared_ptr<const Model>> load(const Origin& origin, std::shared_ptr<const void> keep, Team& team,
                                          const Progress& progress) {
    return guarded(origin, [&]() -> Result<std::shared_ptr<const Model>> {
        MORTISE_CHECK(check_memory(origin.plan.memory, memory_limit()));
        auto rep = std::make_unique<Model::Rep>();
        rep->plan = &origin.plan;
        rep->keep = std::move(keep);
        Loading loading(origin, team, progress);
        MORTISE_CHECK(loading.share_table(*rep));
        MORTISE_CHECK(loading.bind(*rep));
        MORTISE_CHECK(loading.load_parts(*rep));
        MORTISE_CHECK(loading.verify_parts());
        MORTISE_CHECK(loading.load_vectors(&rep->vectors));
        MORTISE_TRY(rep->receipt, loading.close());
        return std::make_shared<const Model>(std::move(rep));
    });
}

Result<Receipt> verify(const Origin& origin, Team& team, const Progress& progress) {
    return guarded(origin, [&]() -> Result<Receipt> {
        Loading loading(origin, team, progress);
        Problems problems;
        if (auto parts = loading.verify_parts(); !parts) problems.add(parts.error());
        if (auto vectors = loading.load_vectors(nullptr); !vectors) problems.add(vectors.error());
        MORTISE_CHECK(std::move(problems).status());
        return loading.close();
    });
}

}  // namespace mortise::load
