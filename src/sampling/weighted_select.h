// Finds where the running mass of items, taken in a strict order, reaches a target, without sorting them:
// halves the range with nth_element and keeps the half that holds the crossing. 2n steps on average.
#pragma once

#include <algorithm>
#include <cstddef>
#include <span>

namespace turgo {

// Reorders `items`. Returns k such that the first k items are the k smallest by `less` and k is the least
// count whose mass is >= target (at least 1, at most items.size()); items[k - 1] is the crossing one.
template <class T, class Less, class Mass>
size_t weighted_select(std::span<T> items, double target, Less less, Mass mass) {
  size_t begin = 0, end = items.size();
  while (end - begin > 1) {
    size_t middle = begin + (end - begin) / 2;
    std::nth_element(items.begin() + begin, items.begin() + middle, items.begin() + end, less);
    double left = 0;
    for (size_t i = begin; i < middle; ++i) left += mass(items[i]);
    if (left >= target) {
      end = middle;
    } else {
      target -= left;
      begin = middle;
    }
  }
  return end;
}

}  // namespace turgo
