/* Options of a filesystem that is mounted: "remount" beside what is no flag of the mount. */
#include "init.h"

int op_reconfigure(struct init *init, const struct plan_op *op)
{
    const char *option = op_text(init, op, 3);
    int place = open_in_root(init, op_text(init, op, 2), O_PATH, 0);
    if (place < 0)
        return place;
    int fs = (int)SYS3(SYS_fspick, place, "", FSPICK_CLOEXEC | FSPICK_EMPTY_PATH);
    sys_close(place);
    if (fs < 0)
        return fs;
    int error = 0;
    for (int64_t i = 0; i < op->n[0] && !error; i++, option = next_text(option))
        error = configure(fs, option);
    if (!error)
        error = (int)SYS5(SYS_fsconfig, fs, FSCONFIG_CMD_RECONFIGURE, 0, 0, 0);
    if (error)
        say_why(init, fs);
    sys_close(fs);
    return error;
}
