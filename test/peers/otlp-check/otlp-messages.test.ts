/** Names, numbers and types in proto/otlp are OpenTelemetry's. Needs `go` and, once, the module proxy. */
import assert from 'node:assert/strict';
import { execFileSync } from 'node:child_process';
import { test } from 'node:test';
import protobuf from 'protobufjs';
import { loadMessages } from '../../../src/profile/otlp-messages.test-support.ts';

interface Field {
  readonly number: number;
  readonly type: string;
  readonly repeated: boolean;
  readonly packed: boolean;
  readonly oneof: string;
}

interface Description {
  readonly messages: Record<string, Record<string, Field>>;
  readonly methods: Record<string, [string, string]>;
}

const theirs: Description = JSON.parse(
  execFileSync('go', ['run', '.', 'describe'], { cwd: import.meta.dirname, encoding: 'utf8' }),
);

function ours(): Description {
  const described: Description = { messages: {}, methods: {} };
  const visit = (object: protobuf.ReflectionObject): void => {
    if (object instanceof protobuf.Type) {
      described.messages[nameOf(object)] = Object.fromEntries(
        object.fieldsArray.map((field) => [field.name, fieldOf(field)]),
      );
    } else if (object instanceof protobuf.Service) {
      for (const method of object.methodsArray) {
        described.methods[`/${nameOf(object)}/${method.name}`] = [
          nameOf(method.resolvedRequestType!),
          nameOf(method.resolvedResponseType!),
        ];
      }
    } else if (object instanceof protobuf.Namespace) {
      for (const nested of object.nestedArray) visit(nested);
    }
  };
  visit(loadMessages());
  return described;
}

const nameOf = (object: protobuf.ReflectionObject): string => object.fullName.slice(1);

function fieldOf(field: protobuf.Field): Field {
  return {
    number: field.id,
    type: field.resolvedType === null ? field.type : nameOf(field.resolvedType),
    repeated: field.repeated,
    packed:
      field.repeated && field.packed && field.resolvedType === null && field.type !== 'string',
    oneof: field.partOf?.name ?? '',
  };
}

test('every message and field is theirs, with the same number and type', () => {
  const { messages } = ours();
  assert.equal(Object.keys(messages).length, 21);
  for (const [message, fields] of Object.entries(messages)) {
    for (const [name, field] of Object.entries(fields)) {
      assert.deepEqual(field, theirs.messages[message]?.[name], `${message}.${name}`);
    }
  }
});

test('the service and its one method', () => {
  assert.deepEqual(ours().methods, theirs.methods);
});
