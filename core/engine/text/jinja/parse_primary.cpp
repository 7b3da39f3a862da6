#include <charconv>

#include "engine/text/jinja/parser_base.h"

namespace mortise::text::jinja {

Result<ExprPtr> ExpressionParser::primary() {
    const int line = peek().line;
    const Type type = peek().type;
    if (type == Type::name) {
        const std::string name = take().text;
        auto made = make(Expr::Type::constant, line);
        if (name == "true" || name == "True" || name == "false" || name == "False") {
            made->value = Value::boolean(name == "true" || name == "True");
        } else if (name == "none" || name == "None") {
            made->value = Value::none();
        } else {
            made->type = Expr::Type::name;
            made->name = name;
        }
        return made;
    }
    if (type == Type::string) {
        std::string text;
        while (peek().type == Type::string) text += take().text;  // neighbours are one string
        auto made = make(Expr::Type::constant, line);
        made->value = Value::string(std::move(text));
        return made;
    }
    if (type == Type::integer || type == Type::real) return number(take());
    if (skip_op("(")) return bracketed(line);
    if (skip_op("[")) return list_items(line);
    if (skip_op("{")) return dict_items(line);
    return bad(peek().text.empty() ? "expected an expression" : "unexpected '" + peek().text + "'");
}

Result<ExprPtr> ExpressionParser::number(const Token& token) {
    auto made = make(Expr::Type::constant, token.line);
    const char *begin = token.text.data(), *end = begin + token.text.size();
    if (token.type == Type::real) {
        double number = 0;
        std::from_chars(begin, end, number);
        made->value = Value::real(number);
        return made;
    }
    int64_t number = 0;
    if (std::from_chars(begin, end, number).ec != std::errc())
        return unsupported("an integer beyond 64 bits");
    made->value = Value::integer(number);
    return made;
}

Result<ExprPtr> ExpressionParser::bracketed(int line) {
    if (skip_op(")")) return make(Expr::Type::tuple, line);
    MORTISE_TRY(auto made, tuple());
    MORTISE_CHECK(expect_op(")"));
    return made;
}

Result<ExprPtr> ExpressionParser::list_items(int line) {
    auto made = make(Expr::Type::list, line);
    while (!is_op("]")) {
        MORTISE_TRY(auto item, expression());
        made->kids.push_back(std::move(item));
        if (!skip_op(",")) break;
    }
    MORTISE_CHECK(expect_op("]"));
    return made;
}

Result<ExprPtr> ExpressionParser::dict_items(int line) {
    auto made = make(Expr::Type::dict, line);
    while (!is_op("}")) {
        MORTISE_TRY(auto key, expression());
        MORTISE_CHECK(expect_op(":"));
        MORTISE_TRY(auto value, expression());
        made->kids.push_back(std::move(key));
        made->kids.push_back(std::move(value));
        if (!skip_op(",")) break;
    }
    MORTISE_CHECK(expect_op("}"));
    return made;
}

Result<ExprPtr> ExpressionParser::postfix(ExprPtr operand) {
    for (int links = 0;; ++links) {
        if (links > chain_limit) return bad("chain is too long");
        if (skip_op(".")) {
            MORTISE_TRY(operand, attribute(std::move(operand)));
        } else if (skip_op("[")) {
            MORTISE_TRY(operand, subscript(std::move(operand)));
        } else if (is_op("(")) {
            auto call = make(Expr::Type::call, std::move(operand));
            call->line = peek().line;
            MORTISE_TRY(call->arguments, call_arguments());
            operand = std::move(call);
        } else {
            return operand;
        }
    }
}

Result<ExprPtr> ExpressionParser::attribute(ExprPtr operand) {
    const int line = peek().line;
    if (peek().type == Type::integer) {
        MORTISE_TRY(auto index, number(take()));
        auto made = make(Expr::Type::item, std::move(operand));
        made->kids.push_back(std::move(index));
        return made;
    }
    auto made = make(Expr::Type::attribute, std::move(operand));
    made->line = line;
    MORTISE_TRY(made->name, expect_name());
    return made;
}

Result<ExprPtr> ExpressionParser::subscript(ExprPtr operand) {
    ExprPtr parts[3];
    int colons = 0;
    while (!is_op("]")) {
        if (skip_op(":")) {
            if (++colons > 2) return bad("a slice has at most two colons");
            continue;
        }
        if (parts[colons]) return is_op(",") ? unsupported("a subscript with a comma") : bad("expected ']'");
        MORTISE_TRY(parts[colons], expression());
    }
    take();
    auto made = make(colons ? Expr::Type::slice : Expr::Type::item, std::move(operand));
    if (!colons && !parts[0]) return bad("expected a subscript");
    for (int i = 0; i < (colons ? 3 : 1); ++i) made->kids.push_back(std::move(parts[i]));
    return made;
}

Result<Arguments> ExpressionParser::call_arguments() {
    Arguments arguments;
    MORTISE_CHECK(expect_op("("));
    while (!is_op(")")) {
        if (is_op("*") || is_op("**")) {
            auto& place = take().text == "*" ? arguments.more : arguments.more_named;
            if (place) return bad("two lists or two dicts of arguments in a call");
            MORTISE_TRY(place, expression());
        } else if (peek().type == Type::name && peek_next().type == Type::op && peek_next().text == "=") {
            const std::string name = take().text;
            take();
            MORTISE_TRY(auto value, expression());
            arguments.named.emplace_back(name, std::move(value));
        } else {
            if (!arguments.named.empty() || arguments.more || arguments.more_named)
                return bad("a positional argument behind a named one");
            MORTISE_TRY(auto value, expression());
            arguments.positional.push_back(std::move(value));
        }
        if (!skip_op(",")) break;
    }
    MORTISE_CHECK(expect_op(")"));
    return arguments;
}

}  // namespace mortise::text::jinja
