/** Field numbers of proto/otlp that the encoder writes; a test compares them with the files. */

export const REQUEST = { resource_profiles: 1, dictionary: 2 } as const;
export const RESOURCE_PROFILES = { resource: 1, scope_profiles: 2 } as const;
export const RESOURCE = { attributes: 1 } as const;
export const SCOPE_PROFILES = { scope: 1, profiles: 2 } as const;
export const SCOPE = { name: 1 } as const;
export const KEY_VALUE = { key: 1, value: 2 } as const;
export const ANY_VALUE = { string_value: 1, int_value: 3 } as const;
export const PROFILE = {
  sample_type: 1,
  samples: 2,
  time_unix_nano: 3,
  duration_nano: 4,
  period_type: 5,
  period: 6,
  profile_id: 7,
  attribute_indices: 11,
} as const;
export const VALUE_TYPE = { type_strindex: 1, unit_strindex: 2 } as const;
export const SAMPLE = { stack_index: 1, attribute_indices: 2, link_index: 3, values: 4 } as const;
export const DICTIONARY = {
  mapping_table: 1,
  location_table: 2,
  function_table: 3,
  link_table: 4,
  string_table: 5,
  attribute_table: 6,
  stack_table: 7,
} as const;
export const MAPPING = {
  memory_start: 1,
  memory_limit: 2,
  file_offset: 3,
  filename_strindex: 4,
  attribute_indices: 5,
} as const;
export const LOCATION = { mapping_index: 1, address: 2, lines: 3, attribute_indices: 4 } as const;
export const LINE = { function_index: 1, line: 2, column: 3 } as const;
export const FUNCTION = {
  name_strindex: 1,
  system_name_strindex: 2,
  filename_strindex: 3,
  start_line: 4,
} as const;
export const LINK = { trace_id: 1, span_id: 2 } as const;
export const KEY_VALUE_AND_UNIT = { key_strindex: 1, value: 2 } as const;
export const STACK = { location_indices: 1 } as const;
