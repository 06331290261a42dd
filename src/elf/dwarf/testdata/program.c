/* Inlined calls, a cold part, and (GCC only) a function within a function. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
struct node {
  struct node *next;
  int key;
  char name[12];
};
static inline __attribute__((always_inline)) int mix(int a, int b) {
  a ^= b << 3;
  a += b * 17;
  return a ^ (a >> 5);
}
static int hash(const char *s) {
  int h = 7;
  while (*s) h = mix(h, *s++);
  return h;
}
static struct node *push(struct node *l, int k) {
  struct node *n = malloc(sizeof *n);
  n->next = l;
  n->key = k;
  snprintf(n->name, sizeof n->name, "k%d", k);
  return n;
}
static int compare(const void *a, const void *b) {
  return *(const int *)a - *(const int *)b;
}
__attribute__((noinline)) static int part(int n) {
  if (__builtin_expect(n > 1000, 0)) {
    fprintf(stderr, "big %d %d\n", n, mix(n, 3));
    abort();
  }
  return mix(n, n + 1);
}
#ifdef __clang__
int nested(int n) { return n; }
#else
int nested(int n) {
  int inner(int x) { return x * n + mix(x, n); }
  int (*volatile p)(int) = inner;
  return p(n) + p(n + 1);
}
#endif
int main(int argc, char **argv) {
  int v[64];
  struct node *l = 0;
  for (int i = 0; i < 64; i++) {
    v[i] = part(i * argc) % 31;
    l = push(l, v[i]);
  }
  qsort(v, 64, sizeof *v, compare);
  int s = 0;
  for (struct node *n = l; n; n = n->next) s = mix(s, hash(n->name));
  if (argc > 5) {
    puts("cold path");
    for (int i = 0; i < argc; i++) s += hash(argv[i]) + nested(i);
    exit(s);
  }
  printf("%d %d\n", s, nested(argc));
  return v[0];
}
