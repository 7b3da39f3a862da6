// The tree of a template. Immutable after parsing, so many renderings may share it.
#pragma once

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "engine/text/jinja/value.h"

namespace mortise::text::jinja {

struct Expr;
using ExprPtr = std::unique_ptr<Expr>;

struct Arguments {
    std::vector<ExprPtr> positional;
    std::vector<std::pair<std::string, ExprPtr>> named;
    ExprPtr more;        // *list, null = none
    ExprPtr more_named;  // **dict, null = none
};

struct Expr {
    enum class Type : uint8_t {
        constant,   // value
        name,       // name
        attribute,  // kids[0].name
        item,       // kids[0][kids[1]]
        slice,      // kids[0][kids[1]:kids[2]:kids[3]], null = absent
        call,       // kids[0](arguments)
        filter,     // kids[0] | name(arguments)
        test,       // kids[0] is name(arguments)
        negate,
        plus,
        not_,  // kids[0]
        and_,
        or_,          // kids
        arithmetic,   // kids[0] operators[0] kids[1] operators[1] ..., from the left
        concat,       // kids joined as text
        compare,      // kids[0] operators[0] kids[1] and kids[1] operators[1] kids[2] ...
        conditional,  // kids[0] if kids[1] else kids[2], null = undefined
        list,
        tuple,  // kids
        dict,   // key, value, key, value, ...
    };
    Type type;
    int line = 0;
    std::string name = {};
    Value value = {};
    std::vector<ExprPtr> kids = {};
    std::vector<std::string> operators = {};
    Arguments arguments = {};
};

struct Stmt;
using Block = std::vector<std::unique_ptr<Stmt>>;

// What an assignment or a loop fills: one name, several (unpacking), or an attribute of a namespace.
struct Target {
    std::vector<std::string> names;
    bool unpack = false;
    std::string attribute;  // of names[0]
};

struct Parameter {
    std::string name;
    ExprPtr fallback;  // null = none
};

struct Stmt {
    enum class Type : uint8_t {
        text,       // text
        output,     // expression
        if_,        // branches in order, body = else
        for_,       // target in expression, filter = condition; body, otherwise = no item
        set,        // target = expression
        set_block,  // target = body, through filters applied to null in `filter`
        macro,      // name, parameters, body
        call,       // expression (a call) with body as caller(parameters)
        filter,     // body through `filter`
        with,       // assignments, body
        body,       // body as it stands
        break_,
        continue_,
    };
    struct Branch {
        ExprPtr condition;
        Block body;
    };
    Type type;
    int line = 0;
    std::string text = {};
    Target target = {};
    ExprPtr expression = {};
    ExprPtr filter = {};
    std::vector<Branch> branches = {};
    std::vector<Parameter> parameters = {};
    std::vector<std::pair<std::string, ExprPtr>> assignments = {};
    Block body = {};
    Block otherwise = {};
};

}  // namespace mortise::text::jinja
