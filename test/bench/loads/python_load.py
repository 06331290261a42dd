# Trees, JSON and text until killed; argument: idle seconds between rounds.
import json
import random
import sys
import time


class Heap:
    def __init__(self):
        self.items = []

    def push(self, value):
        self.items.append(value)
        at = len(self.items) - 1
        while at and self.items[(at - 1) // 2] > self.items[at]:
            up = (at - 1) // 2
            self.items[up], self.items[at] = self.items[at], self.items[up]
            at = up


def depth(tree):
    return 1 + max((depth(child) for child in tree["children"]), default=0)


def grow(level):
    return {"level": level, "children": [grow(level - 1) for _ in range(2 if level else 0)]}


def one_round(numbers):
    heap = Heap()
    for _ in range(300):
        heap.push(numbers.random())
    tree = json.loads(json.dumps(grow(6)))
    words = sorted(("word%d" % (i * 7 % 101) for i in range(300)), key=lambda word: word[::-1])
    return depth(tree) + len(words) + heap.items[0]


def main():
    idle = float(sys.argv[1]) if len(sys.argv) > 1 else 0
    numbers = random.Random(3)
    while True:
        one_round(numbers)
        if idle:
            time.sleep(idle)


main()
