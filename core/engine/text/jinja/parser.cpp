#include "engine/text/jinja/parser.h"

#include <algorithm>

#include "engine/text/jinja/parser_base.h"

namespace mortise::text::jinja {
namespace {

class Parser : public ExpressionParser {
  public:
    using ExpressionParser::ExpressionParser;

    Result<Block> run() {
        MORTISE_TRY(auto block, body({}));
        if (peek().type != Type::end) return bad("unexpected '" + peek().text + "'");
        return block;
    }

  private:
    using Statement = Result<std::unique_ptr<Stmt>>;

    std::unique_ptr<Stmt> statement(Stmt::Type type) const {
        auto made = std::make_unique<Stmt>(Stmt{.type = type});
        made->line = peek().line;
        return made;
    }

    Status end_of_tag() {
        if (peek().type != Type::block_end)
            return bad("expected the end of the tag, found '" + peek().text + "'");
        take();
        return {};
    }

    // Effect: statements up to a tag that begins with one of `ends`; the cursor stands on that word.
    Result<Block> body(std::initializer_list<std::string_view> ends) {
        const Deeper deeper(depth_);
        if (depth_ > depth_limit) return bad("nested too deep");
        Block block;
        while (peek().type != Type::end) {
            if (peek().type == Type::data) {
                auto made = statement(Stmt::Type::text);
                made->text = take().text;
                block.push_back(std::move(made));
                continue;
            }
            if (take().type == Type::variable_begin) {
                auto made = statement(Stmt::Type::output);
                MORTISE_TRY(made->expression, tuple());
                if (peek().type != Type::variable_end)
                    return bad("expected '}}', found '" + peek().text + "'");
                take();
                block.push_back(std::move(made));
                continue;
            }
            if (std::any_of(ends.begin(), ends.end(), [&](auto word) { return is_name(word); })) return block;
            MORTISE_TRY(auto made, tag());
            block.push_back(std::move(made));
        }
        if (ends.size() > 0) return bad("missing '" + std::string(*(ends.end() - 1)) + "'");
        return block;
    }

    // Effect: a body and the end tag `end` whole.
    Status body_until(std::string_view end, Block& out) {
        MORTISE_TRY(out, body({end}));
        take();
        return end_of_tag();
    }

    Statement tag() {
        const int line = peek().line;
        MORTISE_TRY(const auto word, expect_name());
        Statement made = dispatch(word);
        if (made) (*made)->line = line;
        return made;
    }

    Statement dispatch(const std::string& word) {
        if (word == "for") return for_tag();
        if (word == "if") return if_tag();
        if (word == "set") return set_tag();
        if (word == "macro") return macro_tag();
        if (word == "call") return call_tag();
        if (word == "filter") return filter_tag();
        if (word == "with") return with_tag();
        if (word == "generation") return generation_tag();
        if (word == "break" || word == "continue") {
            if (loops_ == 0) return bad("'" + word + "' outside a loop");
            auto made = statement(word == "break" ? Stmt::Type::break_ : Stmt::Type::continue_);
            MORTISE_CHECK(end_of_tag());
            return made;
        }
        for (const char* other : {"block", "extends", "include", "import", "from", "autoescape"})
            if (word == other) return unsupported("'{% " + word + " %}'");
        return bad("unknown tag '" + word + "'");
    }

    Result<Target> target(bool attributes) {
        Target made;
        const bool bracket = skip_op("(");
        for (;;) {
            MORTISE_TRY(auto name, expect_name());
            for (const char* word : {"true", "false", "none", "True", "False", "None", "loop"})
                if (name == word) return bad("cannot assign to '" + name + "'");
            made.names.push_back(std::move(name));
            if (attributes && made.names.size() == 1 && skip_op(".")) {
                MORTISE_TRY(made.attribute, expect_name());
                break;
            }
            if (!skip_op(",")) break;
            made.unpack = true;
            if (is_name("in") || is_op("=") || is_op(")")) break;
            if (is_op("(")) return unsupported("nested unpacking");
        }
        if (bracket) MORTISE_CHECK(expect_op(")"));
        return made;
    }

    Statement for_tag() {
        auto made = statement(Stmt::Type::for_);
        MORTISE_TRY(made->target, target(false));
        if (!skip_name("in")) return bad("expected 'in'");
        MORTISE_TRY(made->expression, tuple(false));
        if (skip_name("if")) {
            MORTISE_TRY(made->filter, expression());
        }
        if (is_name("recursive")) return unsupported("a recursive loop");
        MORTISE_CHECK(end_of_tag());
        ++loops_;
        MORTISE_TRY(made->body, body({"else", "endfor"}));
        --loops_;
        if (take().text == "endfor") {
            MORTISE_CHECK(end_of_tag());
            return made;
        }
        MORTISE_CHECK(end_of_tag());
        MORTISE_CHECK(body_until("endfor", made->otherwise));
        return made;
    }

    Statement if_tag() {
        auto made = statement(Stmt::Type::if_);
        for (;;) {
            Stmt::Branch branch;
            MORTISE_TRY(branch.condition, tuple(false));
            MORTISE_CHECK(end_of_tag());
            ++soft_;
            MORTISE_TRY(branch.body, body({"elif", "else", "endif"}));
            --soft_;
            made->branches.push_back(std::move(branch));
            const std::string word = take().text;
            if (word == "elif") continue;
            MORTISE_CHECK(end_of_tag());
            if (word == "endif") return made;
            ++soft_;
            MORTISE_CHECK(body_until("endif", made->body));
            --soft_;
            return made;
        }
    }

    Statement set_tag() {
        auto made = statement(Stmt::Type::set);
        MORTISE_TRY(made->target, target(true));
        if (skip_op("=")) {
            MORTISE_TRY(made->expression, tuple());
            MORTISE_CHECK(end_of_tag());
            return made;
        }
        if (made->target.unpack) return bad("expected '='");
        made->type = Stmt::Type::set_block;
        if (skip_op("|")) {
            MORTISE_TRY(made->filter, filters(nullptr));
        }
        MORTISE_CHECK(end_of_tag());
        MORTISE_CHECK(body_until("endset", made->body));
        return made;
    }

    Status parameters(Stmt& made) {
        MORTISE_CHECK(expect_op("("));
        while (!is_op(")")) {
            Parameter parameter;
            MORTISE_TRY(parameter.name, expect_name());
            if (skip_op("=")) {
                MORTISE_TRY(parameter.fallback, expression());
            } else if (!made.parameters.empty() && made.parameters.back().fallback) {
                return bad("a parameter without a default behind one with it");
            }
            made.parameters.push_back(std::move(parameter));
            if (!skip_op(",")) break;
        }
        return expect_op(")");
    }

    Status separate_body(std::string_view end, Stmt& made) {  // loops outside do not reach in
        MORTISE_CHECK(end_of_tag());
        const int loops = std::exchange(loops_, 0);
        MORTISE_CHECK(body_until(end, made.body));
        loops_ = loops;
        return {};
    }

    Statement macro_tag() {
        auto made = statement(Stmt::Type::macro);
        MORTISE_TRY(made->text, expect_name());
        MORTISE_CHECK(parameters(*made));
        MORTISE_CHECK(separate_body("endmacro", *made));
        return made;
    }

    Statement call_tag() {
        auto made = statement(Stmt::Type::call);
        if (is_op("(")) MORTISE_CHECK(parameters(*made));
        MORTISE_TRY(made->expression, expression());
        if (made->expression->type != Expr::Type::call) return bad("expected a call");
        MORTISE_CHECK(separate_body("endcall", *made));
        return made;
    }

    Statement filter_tag() {
        auto made = statement(Stmt::Type::filter);
        MORTISE_TRY(made->filter, filters(nullptr));
        MORTISE_CHECK(separate_body("endfilter", *made));
        return made;
    }

    Statement with_tag() {
        auto made = statement(Stmt::Type::with);
        while (peek().type != Type::block_end) {
            MORTISE_TRY(auto name, expect_name());
            MORTISE_CHECK(expect_op("="));
            MORTISE_TRY(auto value, expression());
            made->assignments.emplace_back(std::move(name), std::move(value));
            if (!skip_op(",")) break;
        }
        MORTISE_CHECK(end_of_tag());
        MORTISE_CHECK(body_until("endwith", made->body));
        return made;
    }

    Statement generation_tag() {  // marks the assistant's part for training; renders its body
        auto made = statement(Stmt::Type::body);
        MORTISE_CHECK(end_of_tag());
        MORTISE_CHECK(body_until("endgeneration", made->body));
        return made;
    }

    int loops_ = 0;
};

}  // namespace

Result<Block> parse_template(std::string_view source, const std::string& file) {
    MORTISE_TRY(auto tokens, tokenize(source, file));
    return Parser(std::move(tokens), file).run();
}

}  // namespace mortise::text::jinja
