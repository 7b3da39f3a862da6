// One module of the file as canonical rows: reads what its tiles need, when they need it.
//
// open() and select_expert() belong to one thread; read() may be called by all threads at once, each with a
// Scratch of its own.
#pragma once

#include <map>
#include <memory>
#include <optional>
#include <vector>

#include "load/contents.h"
#include "load/part_stream.h"
#include "quant/encode.h"

namespace mortise::load {

class SourceReader {
  public:
    struct Options {
        uint64_t first_column = 0, columns = 0;  // columns 0: all
        bool cast = false;
        Team* team = nullptr;  // reads large tensors together; null: this thread alone
    };
    // What one thread needs to read tiles; reused from tile to tile.
    struct Scratch {
        std::vector<std::byte> bytes;
        std::vector<uint64_t> rows;
        quant::Tile tile;
    };

    // Effect: reads all fields but the codes, checks their obligations. `ledger` outlives the reader.
    // Errors: file_*, value_*, and those of quant::PartReader::make.
    static Result<std::unique_ptr<SourceReader>> open(const Origin& origin, Ledger& ledger, uint32_t source,
                                                      const Options& options);

    // Effect: rows of this expert of the source can be read. Errors: file_*.
    Status select_expert(uint64_t expert);

    // Effect: fills scratch.tile; checks the obligations of the codes on the way.
    // Requires: request.expert is selected. Errors: file_*, value_*.
    Status read(const quant::TileRequest& request, Scratch& scratch) const;

    // Effect: the codes of all experts and rows that the caller wants have been read.
    void codes_done() { mark_met(*ledger_, code_duties_); }

    // Effect: rows of a tile: about 1 MiB, a multiple of row_tile, enough tiles for all threads.
    uint64_t tile_rows(uint64_t rows, uint32_t row_tile, int threads) const;

    const quant::Sources& fields() const { return fields_; }  // all but the codes
    const quant::QuantSpec& spec() const { return source_.result(); }

  private:
    struct Bytes {
        std::unique_ptr<std::byte[]> data;
        size_t size = 0;
        std::span<const std::byte> span() const { return {data.get(), size}; }
    };

    SourceReader(const Origin& origin, Ledger& ledger, uint32_t source, const Options& options);
    Status read_fields();
    Status remake();  // the module whole, in its other spec
    Status choose_mode();
    Result<Bytes> read_bytes(uint32_t tensor, uint64_t begin, uint64_t bytes);
    Status read_window(const quant::Window& window, std::vector<std::byte>& out) const;

    Ledger* ledger_;
    const checkpoint::Catalog& catalog_;
    const plan::Source& source_;
    uint32_t source_id_;
    Options options_;

    std::map<uint32_t, Bytes> tensors_;  // by catalog index
    quant::Sources fields_{};
    uint32_t code_field_ = plan::none, code_tensor_ = plan::none, code_bits_ = 0;
    Duties code_duties_;

    // Codes: windows from the file; or held, whole or one expert at a time.
    enum class Mode : uint8_t { windows, expert, whole } mode_ = Mode::windows;
    Bytes held_;
    quant::Window held_window_;
    quant::FieldBytes held_codes_;
    std::optional<quant::ModuleWriter> made_;  // what fields_ and held_codes_ borrow from, of a remade module

    std::unique_ptr<quant::PartReader> reader_;
};

}  // namespace mortise::load
