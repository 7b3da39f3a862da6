#include "engine/text/jinja/builtins.h"
#include "engine/text/jinja/parser_base.h"

namespace mortise::text::jinja {

std::unexpected<Error> ExpressionParser::refuse(Code code, std::string what) const {
    return fail(Problem{.code = code, .what = std::move(what), .file = file_, .line = peek().line});
}

std::unexpected<Error> ExpressionParser::unsupported(std::string what) const {
    return refuse(Code::unsupported_template, std::move(what) + " is not supported in chat templates here");
}

Status ExpressionParser::expect_op(std::string_view text) {
    if (skip_op(text)) return {};
    return bad("expected '" + std::string(text) + "', found '" + peek().text + "'");
}

Result<std::string> ExpressionParser::expect_name() {
    if (peek().type != Type::name) return bad("expected a name, found '" + peek().text + "'");
    return take().text;
}

ExprPtr ExpressionParser::make(Expr::Type type, int line) const {
    auto made = std::make_unique<Expr>(Expr{.type = type});
    made->line = line;
    return made;
}

ExprPtr ExpressionParser::make(Expr::Type type, ExprPtr first) const {
    auto made = make(type, first ? first->line : peek().line);
    made->kids.push_back(std::move(first));
    return made;
}

bool ExpressionParser::at_tuple_end() const {
    return peek().type == Type::variable_end || peek().type == Type::block_end || is_op(")") ||
           is_name("recursive") || is_op("=");
}

Result<ExprPtr> ExpressionParser::tuple(bool conditional) {
    const int line = peek().line;
    std::vector<ExprPtr> items;
    bool comma = false;
    while (!at_tuple_end()) {
        MORTISE_TRY(auto item, expression(conditional));
        items.push_back(std::move(item));
        if (!is_op(",")) break;
        take();
        comma = true;
    }
    if (items.empty()) return bad("expected an expression");
    if (!comma) return std::move(items.front());
    auto made = make(Expr::Type::tuple, line);
    made->kids = std::move(items);
    return made;
}

Result<ExprPtr> ExpressionParser::expression(bool conditional) {
    const Deeper deeper(depth_);
    if (depth_ > depth_limit) return bad("nested too deep");
    MORTISE_TRY(auto made, or_expression());
    for (int links = 0; conditional && skip_name("if"); ++links) {
        if (links > chain_limit) return bad("chain is too long");
        ++soft_;
        auto whole = make(Expr::Type::conditional, std::move(made));
        MORTISE_TRY(auto condition, or_expression());
        whole->kids.push_back(std::move(condition));
        ExprPtr otherwise;
        if (skip_name("else")) {
            MORTISE_TRY(otherwise, expression());
        }
        whole->kids.push_back(std::move(otherwise));
        made = std::move(whole);
        --soft_;
    }
    return made;
}

Result<ExprPtr> ExpressionParser::logic(const char* word, Expr::Type type,
                                        Result<ExprPtr> (ExpressionParser::*operand)()) {
    MORTISE_TRY(auto made, (this->*operand)());
    if (!is_name(word)) return made;
    made = make(type, std::move(made));
    while (skip_name(word)) {
        MORTISE_TRY(auto next, (this->*operand)());
        made->kids.push_back(std::move(next));
    }
    return made;
}

Result<ExprPtr> ExpressionParser::or_expression() {
    return logic("or", Expr::Type::or_, &ExpressionParser::and_expression);
}
Result<ExprPtr> ExpressionParser::and_expression() {
    return logic("and", Expr::Type::and_, &ExpressionParser::not_expression);
}

Result<ExprPtr> ExpressionParser::not_expression() {
    int count = 0;
    while (skip_name("not")) ++count;
    MORTISE_TRY(auto made, comparison());
    if (count == 0) return made;
    made = make(Expr::Type::not_, std::move(made));
    return count % 2 ? std::move(made) : make(Expr::Type::not_, std::move(made));
}

std::optional<std::string> ExpressionParser::comparison_operator() {
    if (peek().type == Type::op)
        for (const char* text : {"==", "!=", "<", "<=", ">", ">="})
            if (skip_op(text)) return text;
    if (skip_name("in")) return "in";
    if (is_name("not") && peek_next().type == Type::name && peek_next().text == "in") {
        take();
        take();
        return "not in";
    }
    return std::nullopt;
}

Result<ExprPtr> ExpressionParser::comparison() {
    MORTISE_TRY(auto made, sum());
    ExprPtr chain;
    while (auto text = comparison_operator()) {
        if (!chain) chain = make(Expr::Type::compare, std::move(made));
        MORTISE_TRY(auto next, sum());
        chain->kids.push_back(std::move(next));
        chain->operators.push_back(*std::move(text));
    }
    return chain ? std::move(chain) : std::move(made);
}

Result<ExprPtr> ExpressionParser::arithmetic(std::initializer_list<std::string_view> operators,
                                             Result<ExprPtr> (ExpressionParser::*operand)()) {
    MORTISE_TRY(auto made, (this->*operand)());
    ExprPtr chain;
    for (;;) {
        const auto* found = operators.begin();
        while (found != operators.end() && !is_op(*found)) ++found;
        if (found == operators.end()) return chain ? std::move(chain) : std::move(made);
        if (!chain) chain = make(Expr::Type::arithmetic, std::move(made));
        chain->operators.push_back(take().text);
        MORTISE_TRY(auto next, (this->*operand)());
        chain->kids.push_back(std::move(next));
    }
}

Result<ExprPtr> ExpressionParser::sum() { return arithmetic({"+", "-"}, &ExpressionParser::concatenation); }

Result<ExprPtr> ExpressionParser::concatenation() {
    MORTISE_TRY(auto made, product());
    if (!is_op("~")) return made;
    made = make(Expr::Type::concat, std::move(made));
    while (skip_op("~")) {
        MORTISE_TRY(auto next, product());
        made->kids.push_back(std::move(next));
    }
    return made;
}

Result<ExprPtr> ExpressionParser::product() {
    return arithmetic({"*", "/", "//", "%"}, &ExpressionParser::power);
}
Result<ExprPtr> ExpressionParser::power() {
    return arithmetic({"**"}, &ExpressionParser::unary_with_filters);
}

Result<ExprPtr> ExpressionParser::unary(bool with_filters) {
    ExprPtr made;
    if (is_op("-") || is_op("+")) {
        const Deeper deeper(depth_);
        if (depth_ > depth_limit) return bad("nested too deep");
        const bool minus = take().text == "-";
        MORTISE_TRY(auto operand, unary(false));
        made = make(minus ? Expr::Type::negate : Expr::Type::plus, std::move(operand));
    } else {
        MORTISE_TRY(made, primary());
    }
    return after(std::move(made), with_filters);
}

// `.a[b](c)` and, with filters, `| f` and `is t`, in any order from the first filter on.
Result<ExprPtr> ExpressionParser::after(ExprPtr operand, bool with_filters) {
    MORTISE_TRY(auto made, postfix(std::move(operand)));
    for (int links = 0; with_filters; ++links) {
        if (links > chain_limit) return bad("chain is too long");
        if (is_op("|")) {
            take();
            MORTISE_TRY(made, filter_call(std::move(made)));
        } else if (skip_name("is")) {
            MORTISE_TRY(made, test(std::move(made)));
        } else if (is_op("(")) {
            auto call = make(Expr::Type::call, std::move(made));
            MORTISE_TRY(call->arguments, call_arguments());
            made = std::move(call);
        } else {
            break;
        }
    }
    return made;
}

Result<ExprPtr> ExpressionParser::filters(ExprPtr operand) {
    MORTISE_TRY(auto made, filter_call(std::move(operand)));
    for (int links = 0; skip_op("|"); ++links) {
        if (links > chain_limit) return bad("chain is too long");
        MORTISE_TRY(made, filter_call(std::move(made)));
    }
    return made;
}

Result<ExprPtr> ExpressionParser::filter_call(ExprPtr operand) {
    auto made = make(Expr::Type::filter, std::move(operand));
    made->line = peek().line;
    MORTISE_TRY(made->name, expect_name());
    const Known known = known_filter(made->name);
    if (known == Known::elsewhere) return unsupported("the filter '" + made->name + "'");
    if (known == Known::no && soft_ == 0) return bad("no filter is called '" + made->name + "'");
    if (is_op("(")) {
        MORTISE_TRY(made->arguments, call_arguments());
    }
    return made;
}

Result<ExprPtr> ExpressionParser::test(ExprPtr operand) {
    const bool negated = skip_name("not");
    auto made = make(Expr::Type::test, std::move(operand));
    made->line = peek().line;
    MORTISE_TRY(made->name, expect_name());
    const Known known = known_test(made->name);
    if (known == Known::elsewhere) return unsupported("the test '" + made->name + "'");
    if (known == Known::no && soft_ == 0) return bad("no test is called '" + made->name + "'");
    const Type type = peek().type;
    const bool operand_follows = type == Type::string || type == Type::integer || type == Type::real ||
                                 is_op("[") || is_op("{") ||
                                 (type == Type::name && !is_name("else") && !is_name("or") &&
                                  !is_name("and") && !is_name("if") && !is_name("in") && !is_name("not"));
    if (is_op("(")) {
        MORTISE_TRY(made->arguments, call_arguments());
    } else if (operand_follows) {
        if (is_name("is")) return bad("tests cannot be chained with 'is'");
        MORTISE_TRY(auto argument, primary());
        MORTISE_TRY(argument, postfix(std::move(argument)));
        made->arguments.positional.push_back(std::move(argument));
    }
    return negated ? make(Expr::Type::not_, std::move(made)) : std::move(made);
}

}  // namespace mortise::text::jinja
