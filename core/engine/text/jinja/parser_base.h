// Internal to the parser: the token cursor and the expressions. One thread.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "engine/text/jinja/ast.h"
#include "engine/text/jinja/lexer.h"

namespace mortise::text::jinja {

class ExpressionParser {
  public:
    ExpressionParser(std::vector<Token> tokens, const std::string& file)
        : tokens_(std::move(tokens)), file_(file) {}

  protected:
    using Type = Token::Type;
    // Levels of brackets and blocks; each costs about ten frames of the call stack.
    static constexpr int depth_limit = 64;
    // A chain a.b.c.d | f | g nests without brackets.
    static constexpr int chain_limit = 50;

    class Deeper {
      public:
        explicit Deeper(int& depth) : depth_(depth) { ++depth_; }
        ~Deeper() { --depth_; }
        Deeper(const Deeper&) = delete;

      private:
        int& depth_;
    };

    const Token& peek() const { return tokens_[at_]; }
    const Token& peek_next() const { return tokens_[at_ + 1 < tokens_.size() ? at_ + 1 : at_]; }
    Token take() { return tokens_[at_ + 1 < tokens_.size() ? at_++ : at_]; }
    bool is_op(std::string_view text) const { return peek().type == Type::op && peek().text == text; }
    bool is_name(std::string_view text) const { return peek().type == Type::name && peek().text == text; }
    bool skip_op(std::string_view text) { return is_op(text) && (take(), true); }
    bool skip_name(std::string_view text) { return is_name(text) && (take(), true); }
    Status expect_op(std::string_view text);
    Result<std::string> expect_name();
    bool at_tuple_end() const;

    std::unexpected<Error> bad(std::string what) const {
        return refuse(Code::template_invalid, std::move(what));
    }
    std::unexpected<Error> unsupported(std::string what) const;
    std::unexpected<Error> refuse(Code code, std::string what) const;
    ExprPtr make(Expr::Type type, int line) const;
    ExprPtr make(Expr::Type type, ExprPtr first) const;

    Result<ExprPtr> expression(bool conditional = true);
    Result<ExprPtr> tuple(bool conditional = true);  // one expression, or several with commas between
    Result<ExprPtr> filters(
        ExprPtr operand);  // `| a | b(...)` behind the operand; null operand: filter blocks
    Result<ExprPtr> filter_call(ExprPtr operand);  // `a(...)`
    Result<Arguments> call_arguments();

    int soft_ = 0;  // > 0: inside a branch; jinja2 then finds unknown filters only when it gets there
    int depth_ = 0;
    const std::string& file_name() const { return file_; }

  private:
    Result<ExprPtr> logic(const char* word, Expr::Type type, Result<ExprPtr> (ExpressionParser::*operand)());
    Result<ExprPtr> or_expression();
    Result<ExprPtr> and_expression();
    Result<ExprPtr> not_expression();
    Result<ExprPtr> comparison();
    std::optional<std::string> comparison_operator();
    Result<ExprPtr> arithmetic(std::initializer_list<std::string_view> operators,
                               Result<ExprPtr> (ExpressionParser::*operand)());
    Result<ExprPtr> sum();
    Result<ExprPtr> concatenation();
    Result<ExprPtr> product();
    Result<ExprPtr> power();
    Result<ExprPtr> unary_with_filters() { return unary(true); }
    Result<ExprPtr> unary(bool with_filters);
    Result<ExprPtr> primary();
    Result<ExprPtr> number(const Token& token);
    Result<ExprPtr> bracketed(int line);
    Result<ExprPtr> list_items(int line);
    Result<ExprPtr> dict_items(int line);
    Result<ExprPtr> postfix(ExprPtr operand);
    Result<ExprPtr> attribute(ExprPtr operand);
    Result<ExprPtr> subscript(ExprPtr operand);
    Result<ExprPtr> test(ExprPtr operand);
    Result<ExprPtr> after(ExprPtr operand, bool with_filters);

    std::vector<Token> tokens_;
    const std::string& file_;
    size_t at_ = 0;
};

}  // namespace mortise::text::jinja
