/* home: where a person's files are: the store, the settings. */
#ifndef DHT_PROGRAM_HOME_H
#define DHT_PROGRAM_HOME_H

/**
 * home_default_store(): where the store is when nobody said: $XDG_DATA_HOME/dhtfs, else
 * ~/.local/share/dhtfs, with the home of the user database where HOME is missing (as in a
 * mount at boot).  Absolute; the caller frees it.  NULL: no memory, or no home at all.
 * home_config(): likewise $XDG_CONFIG_HOME/dhtfs/config, else ~/.config/dhtfs/config.
 */
char *home_default_store(void);
char *home_config(void);

/** home_make_parents(file): the folders above ${file}, which is absolute: those that are missing, mode 0700.  0 or -errno. */
int home_make_parents(const char *file);

/** home_absolute(path): a daemon's working directory is the root: *${path} replaced where it is relative.  0 or -errno. */
int home_absolute(char **path);

#endif
