/** A secret would be seen by all in the list of processes if it were an option. */
export const TOKEN_VARIABLE = 'FLAMETAP_TOKEN';
