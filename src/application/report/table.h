// A table of text with aligned columns.
#pragma once

#include <string>
#include <vector>

namespace seesaw::report {

enum class Align : unsigned char { kLeft, kRight };

/// A heading line, then the rows. Widths count UTF-8 characters, not bytes.
class Table {
 public:
  struct Column {
    std::string heading;
    Align align = Align::kLeft;
  };

  explicit Table(std::vector<Column> columns) : columns_(std::move(columns)) {}

  /// One cell a column; missing ones are empty.
  void add_row(std::vector<std::string> cells);

  /// Lines that end in '\n', columns two spaces apart, no spaces at a line's end. The heading line
  /// is left out where every heading is empty.
  std::string text() const;

 private:
  std::vector<Column> columns_;
  std::vector<std::vector<std::string>> rows_;
};

}  // namespace seesaw::report
