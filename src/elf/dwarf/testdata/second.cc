// A second unit, for what units share.
#include <vector>
int other(std::vector<int>& v) {
  v.push_back(3);
  return v.size();
}
