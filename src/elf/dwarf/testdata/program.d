import std.stdio, std.algorithm, std.array, std.range;
struct S { int a; int twice() { int inner(int x) { return x * a; } return inner(2) + inner(a); } }
class C { int v; this(int x) { v = x; } int get(T)(T t) { return cast(int) (t + v); } }
int main(string[] args) { auto s = S(cast(int) args.length); auto c = new C(4); auto r = iota(0, 50).map!(x => x * s.twice()).filter!(x => x % 3 == 0).array; sort(r); writeln(r.length, c.get(3), c.get(3.5)); return 0; }
