#include "load/model.h"

#include <set>

#include "registry/plugin_call.h"

namespace mortise::load {

Model::Rep::~Rep() {
    const registry::PluginCall::Guard guard;
    std::set<mortise_kernel*> gone;
    for (const Bound& bound : kernels)
        if (bound.kernel && gone.insert(bound.kernel).second) bound.provider->destroy(bound.kernel);
}

Model::Model(std::unique_ptr<Rep> rep) : rep_(std::move(rep)) {}
Model::~Model() = default;

const plan::LoadPlan& Model::plan() const { return *rep_->plan; }
const Receipt& Model::receipt() const { return rep_->receipt; }
const mortise_kernels_v1* Model::provider(uint32_t kernel) const { return rep_->kernels[kernel].provider; }
mortise_kernel* Model::kernel(uint32_t kernel) const { return rep_->kernels[kernel].kernel; }
const std::vector<mortise_address>& Model::packed(uint32_t kernel) const {
    return rep_->kernels[kernel].packed;
}
std::span<const float> Model::vector(uint32_t vector) const { return rep_->vectors[vector]; }

}  // namespace mortise::load
