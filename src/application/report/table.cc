#include "report/table.h"

#include <algorithm>
#include <cstddef>
#include <utility>

namespace seesaw::report {
namespace {

std::size_t num_characters(const std::string& text) {
  return static_cast<std::size_t>(std::ranges::count_if(
      text, [](char c) { return (static_cast<unsigned char>(c) & 0xC0) != 0x80; }));
}

}  // namespace

void Table::add_row(std::vector<std::string> cells) {
  cells.resize(columns_.size());
  rows_.push_back(std::move(cells));
}

std::string Table::text() const {
  std::vector<std::string> headings;
  for (const Column& column : columns_) headings.push_back(column.heading);
  std::vector<const std::vector<std::string>*> lines;
  if (std::ranges::any_of(headings, [](const auto& text) { return !text.empty(); })) {
    lines.push_back(&headings);
  }
  for (const auto& row : rows_) lines.push_back(&row);

  std::vector<std::size_t> widths(columns_.size(), 0);
  for (const auto* line : lines) {
    for (std::size_t i = 0; i < line->size(); ++i) {
      widths[i] = std::max(widths[i], num_characters((*line)[i]));
    }
  }
  std::string out;
  for (const auto* line : lines) {
    std::string padded;
    for (std::size_t i = 0; i < line->size(); ++i) {
      const std::string& cell = (*line)[i];
      const std::string padding(widths[i] - num_characters(cell), ' ');
      if (i > 0) padded += "  ";
      padded += columns_[i].align == Align::kRight ? padding + cell : cell + padding;
    }
    padded.erase(padded.find_last_not_of(' ') + 1);
    out += padded + '\n';
  }
  return out;
}

}  // namespace seesaw::report
