/** Shorter forms of a function's name, for boxes that cannot hold the whole. */

const LONGEST_PARSED = 4000;

/** Removes balanced <…> and (…) unless they start the name or hold a Go receiver. */
function withoutArguments(name: string): string {
  let depth = 0;
  let result = '';
  for (let at = 0; at < name.length; at++) {
    const char = name[at]!;
    const receiver = char === '(' && name[at + 1] === '*' && depth === 0;
    if (receiver) {
      const close = name.indexOf(')', at);
      if (close > 0) {
        result += name.slice(at, close + 1);
        at = close;
        continue;
      }
    }
    // operator<, operator<<, operator() and -> are names, not brackets.
    const operator = result.endsWith('operator') || name[at - 1] === '-';
    if ((char === '<' || char === '(') && at > 0 && !operator) depth++;
    else if ((char === '>' || char === ')') && depth > 0 && name[at - 1] !== '-') depth--;
    else if (depth === 0) result += char;
  }
  return depth === 0 && result.length > 0 ? result : name;
}

/**
 * From whole to shortest, e.g. `github.com/a/b/pkg.(*T).Do` → `pkg.(*T).Do`,
 * `std::vector<int>::push_back(int&&)` → `std::vector::push_back` → `vector::push_back`.
 */
export function labelForms(name: string): string[] {
  const forms = [name];
  if (name.length > LONGEST_PARSED) return forms;
  const add = (form: string) => {
    if (form.length > 0 && form.length < forms[forms.length - 1]!.length) forms.push(form);
  };
  if (name.includes('::')) {
    // <Type as Trait>::method reads best as Type::method.
    const implementation = /^<([^<>]+) as [^<>]+>::(.+)$/.exec(name);
    const path = implementation ? `${implementation[1]}::${implementation[2]}` : name;
    const plain = withoutArguments(path)
      .replace(/::h[0-9a-f]{16}$/, '')
      .replaceAll('::::', '::');
    add(plain);
    const parts = plain.split('::');
    add(parts.slice(-2).join('::'));
    add(parts.at(-1)!);
    return forms;
  }
  if (/^[\w.~-]+\/[^ ]*\.[^ /]+$/.test(name)) add(name.slice(name.lastIndexOf('/') + 1));
  else if (name.includes('(') || name.includes('<')) add(withoutArguments(name));
  else if (/^[\w$<>]+(\.[\w$<>]+){2,}$/.test(name) && !/\.\d+$/.test(name)) {
    add(name.split('.').slice(-2).join('.'));
  }
  const last = forms[forms.length - 1]!;
  const receiver = last.lastIndexOf('(*');
  if (receiver > 0) add(last.slice(receiver));
  return forms;
}
