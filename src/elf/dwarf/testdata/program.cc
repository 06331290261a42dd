// Anonymous and inline namespaces, classes in functions, lambdas, templates,
// exceptions.
#include <algorithm>
#include <cstdio>
#include <map>
#include <memory>
#include <string>
#include <vector>
namespace {
struct Hidden {
  int v;
  int run(int k) {
    for (int i = 0; i < k; i++) v += i * v;
    return v;
  }
};
__attribute__((noinline)) int anonymous(int x) {
  Hidden h{x};
  return h.run(x);
}
}  // namespace
namespace outer {
inline namespace v1 {
struct Shape {
  virtual ~Shape() = default;
  virtual int area() const = 0;
};
struct Square : Shape {
  int a;
  explicit Square(int x) : a(x) {}
  int area() const override { return a * a; }
};
template <class T>
struct Box {
  std::vector<T> items;
  struct Inner {
    static int count(const Box &b) {
      int n = 0;
      for (auto &i : b.items) n += i->area();
      return n;
    }
  };
};
}  // namespace v1
template <class T>
__attribute__((noinline)) int work(std::vector<T> &v) {
  std::sort(v.begin(), v.end(), [](T a, T b) { return b < a; });
  std::map<T, std::string> m;
  for (auto x : v) m[x] += std::to_string(x);
  return m.size();
}
}  // namespace outer
static __attribute__((noinline)) int local(int q) {
  struct Local {
    __attribute__((noinline)) int go(int z) { return z * 17 / 3; }
  } l;
  return l.go(q) + 1;
}
int main(int argc, char **) {
  std::vector<int> v;
  for (int i = 0; i < argc * 100; i++) v.push_back(i * 7919 % 101);
  auto f = [&](int x) __attribute__((noinline)) {
    return x + argc + anonymous(x);
  };
  outer::Box<std::unique_ptr<outer::Shape>> b;
  b.items.push_back(std::make_unique<outer::Square>(argc));
  try {
    if (argc > 7) throw std::string("many");
  } catch (const std::string &s) {
    std::puts(s.c_str());
  }
  std::printf("%d %d %d %d %d\n", outer::work(v), anonymous(argc), local(argc),
              f(argc),
              outer::Box<std::unique_ptr<outer::Shape>>::Inner::count(b));
}
