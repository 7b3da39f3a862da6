#include "mortise/command.h"

#include <algorithm>

namespace mortise::tool {

namespace {

std::vector<const Registration*>& table() {
    static std::vector<const Registration*> list;
    return list;
}

}  // namespace

Registration::Registration(CommandFacts its_facts, Factory its_factory)
    : facts(its_facts), factory(its_factory) {
    auto& list = table();
    auto place = std::ranges::upper_bound(list, facts.name, {}, [](auto* each) { return each->facts.name; });
    list.insert(place, this);
}

const std::vector<const Registration*>& commands() { return table(); }

}  // namespace mortise::tool
