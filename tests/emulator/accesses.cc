#include "emulator/accesses.h"

namespace seesaw::emulator {
namespace {

constexpr std::size_t kWordBytes = 4;

}  // namespace

// ------------------------------------------------------------------------------------------ shared

void SharedAccesses::reset(std::size_t num_bytes) {
  words_.assign((num_bytes + kWordBytes - 1) / kWordBytes, {});
  many_.resize(1);
}

Conflict SharedAccesses::check_writer(const Word& word, const Access& access,
                                      const char* what) const {
  if (word.writer.tick == 0) return {};
  if (word.writer.tick == kUnderWay) return {"a copy that is under way", word.where, word.writer};
  if (!access.clock->knows(word.writer)) return {what, word.where, word.writer};
  if (access.proxy == Proxy::kAsync && word.proxy == Proxy::kGeneric &&
      !access.clock->has_fenced(word.writer)) {
    return {"an ordinary write without fence.proxy.async", word.where, word.writer};
  }
  return {};
}

Conflict SharedAccesses::check_readers(const Word& word, const Access& access) const {
  for (std::size_t i = 0; i < word.num_readers; ++i) {
    const Reader& reader = word.readers[i];
    if (!access.clock->knows(reader.moment)) return {"a read", reader.where, reader.moment};
  }
  if (word.many == 0) return {};
  for (const auto& [actor, reader] : many_[word.many]) {
    if (!access.clock->knows(reader.moment)) return {"a read", reader.where, reader.moment};
  }
  return {};
}

void SharedAccesses::note_reader(Word& word, const Access& access) {
  const Reader reader{access.now, access.where};
  for (std::size_t i = 0; i < word.num_readers; ++i) {
    if (word.readers[i].moment.actor != access.now.actor) continue;
    word.readers[i] = reader;
    return;
  }
  if (word.num_readers < word.readers.size()) {
    word.readers[word.num_readers++] = reader;
    return;
  }
  if (word.many == 0) {
    word.many = static_cast<std::uint32_t>(many_.size());
    many_.emplace_back();
  }
  many_[word.many][access.now.actor] = reader;
}

Conflict SharedAccesses::read(const Access& access, std::size_t begin, std::size_t end) {
  Conflict found;
  for (std::size_t i = begin / kWordBytes; i * kWordBytes < end; ++i) {
    Word& word = words_[i];
    if (Conflict conflict = check_writer(word, access, "a write")) found = conflict;
    note_reader(word, access);
  }
  return found;
}

Conflict SharedAccesses::start_write(const Access& access, std::size_t begin, std::size_t end) {
  Conflict found;
  for (std::size_t i = begin / kWordBytes; i * kWordBytes < end; ++i) {
    Word& word = words_[i];
    if (Conflict conflict = check_writer(word, access, "another write")) found = conflict;
    if (Conflict conflict = check_readers(word, access)) found = conflict;
    word.writer = {access.now.actor, kUnderWay};
    word.proxy = access.proxy;
    word.where = access.where;
    word.num_readers = 0;
    if (word.many != 0) many_[word.many].clear();
  }
  return found;
}

void SharedAccesses::finish_write(Moment now, std::size_t begin, std::size_t end) {
  for (std::size_t i = begin / kWordBytes; i * kWordBytes < end; ++i) words_[i].writer = now;
}

Conflict SharedAccesses::write(const Access& access, std::size_t begin, std::size_t end) {
  const Conflict found = start_write(access, begin, end);
  finish_write(access.now, begin, end);
  return found;
}

// ------------------------------------------------------------------------------------------ global

bool GlobalAccesses::knows(int block, const Clock& clock, const Known& known) {
  if (known.moment.tick == 0) return true;
  return known.block == block ? clock.knows(known.moment)
                              : clock.knows_of(known.block, known.moment);
}

bool GlobalAccesses::is_written(std::uintptr_t begin, std::uintptr_t end) const {
  for (std::uintptr_t at = begin / kWordBytes; at * kWordBytes < end; ++at) {
    const auto found = words_.find(at);
    if (found != words_.end() && found->second.writer.moment.tick != 0) return true;
  }
  return false;
}

Conflict GlobalAccesses::read(int block, const Access& access, std::uintptr_t begin,
                              std::uintptr_t end) {
  Conflict found;
  for (std::uintptr_t at = begin / kWordBytes; at * kWordBytes < end; ++at) {
    Word& word = words_[at];
    if (!knows(block, *access.clock, word.writer)) {
      found = {"a write", word.writer.where, word.writer.moment};
    }
    bool is_noted = false;
    for (Known& reader : word.readers) {
      if (reader.block != block || reader.moment.actor != access.now.actor) continue;
      reader.moment = access.now;
      reader.where = access.where;
      is_noted = true;
      break;
    }
    if (!is_noted) word.readers.push_back({block, access.now, access.where});
  }
  return found;
}

Conflict GlobalAccesses::write(int block, const Access& access, std::uintptr_t begin,
                               std::uintptr_t end) {
  Conflict found;
  for (std::uintptr_t at = begin / kWordBytes; at * kWordBytes < end; ++at) {
    Word& word = words_[at];
    if (!knows(block, *access.clock, word.writer)) {
      found = {"another write", word.writer.where, word.writer.moment};
    }
    for (const Known& reader : word.readers) {
      if (!knows(block, *access.clock, reader)) found = {"a read", reader.where, reader.moment};
    }
    if (!knows_releases(block, *access.clock, at * kWordBytes)) {
      found = {"an atomic operation", nullptr, {}};
    }
    word.readers.clear();
    word.writer = {block, access.now, access.where};
  }
  return found;
}

bool GlobalAccesses::knows_releases(int block, const Clock& clock, std::uintptr_t at) const {
  const auto found = atomics_.find(at);
  if (found == atomics_.end()) return true;
  for (const auto& [from, ticks] : found->second) {
    for (std::uint32_t actor = 0; actor < ticks.size(); ++actor) {
      if (!knows(block, clock, {from, {actor, ticks[actor]}})) return false;
    }
  }
  return true;
}

Conflict GlobalAccesses::synchronize(int block, Clock& clock, std::uintptr_t at, bool releases) {
  std::map<int, Ticks>& released = atomics_[at];
  for (const auto& [from, ticks] : released) {
    if (from == block) {
      join(clock.seen, ticks);
    } else {
      join(clock.others[from], ticks);
    }
  }
  const Word& word = words_[at / kWordBytes];
  Conflict found;
  if (!knows(block, clock, word.writer)) {
    found = {"an ordinary write", word.writer.where, word.writer.moment};
  }
  if (releases) {
    join(released[block], clock.seen);
    for (const auto& [from, ticks] : clock.others) join(released[from], ticks);
  }
  return found;
}

}  // namespace seesaw::emulator
