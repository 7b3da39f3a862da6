// hash: digests of every module and part, which do not depend on packing, sharding or threads.
#include <fmt/format.h>
#include <CLI/CLI.hpp>

#include "base/json.h"
#include "load/digest.h"
#include "mortise/command.h"
#include "mortise/loading.h"
#include "mortise/output.h"

namespace mortise::tool {

namespace {

std::string to_json(const load::Digests& digests, const std::string& scheme) {
    json::Writer w(1);
    w.begin_object().entry("schema", "mortise.hash/v1").key("modules").begin_array();
    for (const load::ModuleDigest& module : digests.modules) {
        w.begin_object().entry("name", module.name).key("shape").begin_array();
        for (int64_t extent : module.shape) w.value(extent);
        w.end_array().entry("values_sha256", module.values).end_object();
    }
    w.end_array().key("parts").begin_array();
    for (const load::PartDigest& part : digests.parts) {
        w.begin_object().entry("name", part.name).entry("n", part.n).entry("k", part.k);
        w.entry("scheme", part.plain ? "plain" : scheme).entry("spec_digest", part.spec);
        w.entry("values_sha256", part.values).entry("act_digest", part.act).end_object();
    }
    w.end_array().key("vectors").begin_array();
    for (const load::VectorDigest& vector : digests.vectors)
        w.begin_object().entry("name", vector.name).entry("values_sha256", vector.values).end_object();
    w.end_array().entry("digest", digests.model).end_object();
    return w.take();
}

class Hash : public Command {
  public:
    Result<int> run(Session& session) override {
        MORTISE_TRY(const auto planned, session.plan(false));
        mortise::Progress bar("hash", planned->checkpoint().catalog.total_bytes(), session.progress());
        MORTISE_TRY(const load::Digests digests,
                    load::digest(load::Origin(*planned), session.team(), {},
                                 [&](uint64_t done, uint64_t) { bar.update(done); }));
        bar.finish();
        if (session.json()) {
            line(to_json(digests, planned->plan().scheme));
            return 0;
        }
        for (const load::PartDigest& part : digests.parts)
            line(fmt::format("{}  {} [{},{}]", part.values, part.name, part.n, part.k));
        for (const load::VectorDigest& vector : digests.vectors)
            line(fmt::format("{}  {}", vector.values, vector.name));
        line(fmt::format("{}  model", digests.model));
        return 0;
    }
};

const Registration registration({.name = "hash",
                                 .summary = "digests of the decoded weights, equal in every dialect",
                                 .examples = "  mortise hash models/my-checkpoint\n"
                                             "  mortise hash models/my-checkpoint --json\n"
                                             "  mortise hash models/sharded --threads 2\n",
                                 .uses = Uses::planning,
                                 .takes_model = true},
                                make_command<Hash>);

}  // namespace

}  // namespace mortise::tool
