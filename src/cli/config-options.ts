/** The options that name the configuration, and what to make of them. */
import { resolve } from 'node:path';
import { type Loaded, loadConfig, type OptionValue } from '../config/load.ts';
import { repeated, text } from './options.ts';

export const configOptions = {
  config: text('FILE', 'configuration, YAML; deploy/flametap.yaml has every key with its default'),
  set: repeated(
    'PATH=VALUE',
    (value) => value,
    'one value, such as capture.hz=49; beats the file and the environment',
  ),
};

interface ConfigValues {
  readonly config: string | undefined;
  readonly set: readonly string[];
}

/** @returns a function that reads all sources as they are then. @throws ConfigError */
export function configLoader(
  values: ConfigValues,
  options: readonly OptionValue[] = [],
): () => Loaded {
  const file = values.config === undefined ? undefined : resolve(values.config);
  return () => loadConfig({ file, environment: process.env, sets: values.set, options });
}
