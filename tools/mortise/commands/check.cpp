// check: is every byte of the checkpoint where it belongs? Plans, proves, then reads all of it and keeps
// every promise about contents.
#include <fmt/format.h>

#include <CLI/CLI.hpp>

#include "base/json.h"
#include "base/text.h"
#include "mortise/command.h"
#include "mortise/loading.h"
#include "mortise/output.h"

namespace mortise::tool {

namespace {

class Check : public Command {
  public:
    Result<int> run(Session& session) override {
        MORTISE_TRY(const auto planned, session.plan(false));
        MORTISE_TRY(const load::Receipt receipt, verify(session, *planned));
        if (session.json()) {
            json::Writer w;
            w.begin_object()
                .entry("schema", "mortise.check/v1")
                .entry("checkpoint", planned->plan().path)
                .entry("verdict", "clean");
            w.entry("tensors", receipt.tensors_read)
                .entry("dropped", receipt.tensors_dropped)
                .entry("bytes", receipt.bytes_read);
            w.entry("obligations", receipt.obligations_met)
                .entry("values", receipt.values_checked)
                .end_object();
            line(w.take());
            return 0;
        }
        line(fmt::format(
            "clean: {} tensors used, {} dropped by rule, {} read, {} obligations met over {} values",
            with_commas(receipt.tensors_read), with_commas(receipt.tensors_dropped),
            human_bytes(receipt.bytes_read), with_commas(receipt.obligations_met),
            with_commas(receipt.values_checked)));
        for (const std::string& note : planned->plan().notes) line("note: " + note);
        return 0;
    }
};

const Registration registration(
    {.name = "check",
     .summary = "verify the whole checkpoint without running it",
     .examples = "  mortise check models/my-checkpoint\n"
                 "  mortise check org/name --json\n"
                 "  mortise check models/my-checkpoint --accept-config-key my_key\n",
     .uses = Uses::planning,
     .takes_model = true},
    make_command<Check>);

}  // namespace

}  // namespace mortise::tool
