//! The shortest forms of histories that once failed, each with what it is about. They stay true whatever else can happen to
//! a log by then, which the seed of a random history does not.

use super::history::Action::{self, *};
use super::history::Reach;

// One row, one history.
#[rustfmt::skip]
pub(super) const FOUND: &[(&str, Reach, &[Action])] = &[
    ("a file that cannot be opened at a start is not one that was rotated", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Reboot, Write { lines: 1, padding: 0 }, Start, Rename, WriteHalf,
        WriteOld, Outwait, Stop, Forbid,
    ]),
    ("what was finished, cut before and written to later makes its first mark again", Reach::Name, &[
        Write { lines: 2, padding: 0 }, Outwait, TruncatePart, Rename, Write { lines: 1, padding: 0 },
        Outwait, Stop, WriteOld, Truncate, Write { lines: 1, padding: 0 }, Write { lines: 1, padding: 0 },
    ]),
    ("two files of the last run are one: what was read of one of them only is read again and counted", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Look, Look, Delete, Write { lines: 1, padding: 0 },
        Write { lines: 1, padding: 0 }, RewritePart { lines: 3 }, Copy, Write { lines: 1, padding: 0 },
        Rename, WriteLong, ReadAll, Stop, Write { lines: 1, padding: 0 }, Copytruncate, Rename,
    ]),
    ("the copy of a deleted file is read from its end only if that one was read", Reach::Names, &[
        Write { lines: 2, padding: 430 }, Write { lines: 3, padding: 45 }, Look, Copy,
        Write { lines: 1, padding: 0 }, Delete, Look, Stop,
    ]),
    ("an original that is found after its copy is left alone like one", Reach::Names, &[
        Write { lines: 1, padding: 0 }, RewritePart { lines: 3 }, Forbid, Copy, Look, Outwait,
        Write { lines: 1, padding: 0 }, Delete,
    ]),
    ("the same where its bytes cannot be read", Reach::Names, &[
        Write { lines: 2, padding: 510 }, Break, Copy, Look, Outwait, Write { lines: 1, padding: 0 }, Delete,
    ]),
    ("two copies of a head of NUL bytes are read both", Reach::Name, &[
        Write { lines: 1, padding: 0 }, RewritePart { lines: 3 }, TruncateHoled, Look, Copy,
        Write { lines: 1, padding: 0 }, Copytruncate, Look, Move,
    ]),
    ("a rotation that was finished, and written to after the next log was begun, is not later than that", Reach::Name, &[
        Create, Write { lines: 1, padding: 0 }, Look, Rename, WriteHalf, WriteOld, Outwait, Stop, Truncate,
        Write { lines: 1, padding: 0 },
    ]),
    ("nor is it where the next log is gone", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Look, Rename, Write { lines: 1, padding: 0 }, WriteOld, Outwait,
        Delete, Stop,
    ]),
    ("of two copies one is told by the other, and counted", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Look, Write { lines: 2, padding: 505 }, Copy,
        Write { lines: 1, padding: 0 }, Copytruncate, Move, Look, Write { lines: 1, padding: 0 },
    ]),
    ("an inode that was used again is not the file that cannot be opened", Reach::Names, &[
        Write { lines: 1, padding: 0 }, Copytruncate, Look, Recreate { lines: 1 }, Forbid, Save, Kill,
        Repoint { lines: 1 }, Start, Repoint { lines: 1 }, Write { lines: 1, padding: 0 },
    ]),
    ("after a reboot nothing tells who an empty file is", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Read { lines: 1 }, Truncate, Look, Link, Save,
        Write { lines: 1, padding: 0 }, Reboot, Move,
    ]),
    ("what was read on in a copy tells how far its earlier copy was read", Reach::Name, &[
        Write { lines: 2, padding: 510 }, Look, Copy, Write { lines: 1, padding: 0 }, Copytruncate, Outwait,
        Delete,
    ]),
    ("a hole that is refilled makes another mark", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Copytruncate, RewritePart { lines: 4 }, TruncateHoled, Outwait,
        Save, RewritePart { lines: 4 }, TruncateHoled, Kill,
    ]),
    ("a copy whose original cannot be read waits, whatever else it is like", Reach::Names, &[
        WriteHalf, Recreate { lines: 1 }, Copy, Write { lines: 1, padding: 0 }, Look,
        Write { lines: 2, padding: 500 }, Copy, Read { lines: 1 }, Break, Truncate, Look,
    ]),
    ("an agent that is killed before any checkpoint makes other marks", Reach::Name, &[
        WriteHalf, Copy, Look, Link, Write { lines: 1, padding: 0 }, Stop, RewritePart { lines: 3 }, Rename,
        Start, Write { lines: 1, padding: 0 }, Read { lines: 1 }, Kill, Write { lines: 1, padding: 0 }, Look,
    ]),
    ("a head that could not be read when the file grew is read later", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Truncate, Look, Write { lines: 1, padding: 0 }, Break, Look, Forbid,
        Look, TruncateHoled, Write { lines: 1, padding: 0 },
    ]),
    ("a head of NUL bytes proves no copy of a deleted file", Reach::Names, &[
        Write { lines: 1, padding: 0 }, Link, Kill, Write { lines: 2, padding: 505 }, TruncateHoled, Link,
        Copy, Start, Write { lines: 1, padding: 0 }, Delete, Look, Stop,
    ]),
    ("half a line of a copy too short to be told", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Write { lines: 1, padding: 0 }, Kill,
        Write { lines: 1, padding: 0 }, Start, Rewrite { lines: 4, padding: 45 }, Kill, Copy, Start,
        Write { lines: 1, padding: 0 }, Link, Write { lines: 1, padding: 0 },
        Write { lines: 1, padding: 680 }, Kill, Write { lines: 2, padding: 50 }, WriteHalf, Compress, Copy,
        Move,
    ]),
    ("what stands behind a hole is replaced unseen by another", Reach::Name, &[
        Write { lines: 3, padding: 340 }, Read { lines: 3 }, Kill, TruncateHoled, Start, Truncate,
        RewritePart { lines: 3 }, TruncateHoled, Write { lines: 1, padding: 0 },
        Write { lines: 1, padding: 0 },
    ]),
    ("a log that was cut and has a copy is left alone like one", Reach::Name, &[
        Write { lines: 2, padding: 310 }, Write { lines: 4, padding: 390 }, Read { lines: 4 }, Stop, Copy,
        TruncatePart, Start, Write { lines: 1, padding: 0 }, Rename,
    ]),
    ("half a line of a log that was cut and has a copy", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Copytruncate, RewritePart { lines: 4 }, Read { lines: 3 },
        WriteHalf, Copy, Copy, TruncatePart, Move, Outwait, Stop,
    ]),
    ("a copy that is taken up, and whose log is rewritten", Reach::Name, &[
        Kill, Write { lines: 2, padding: 510 }, TruncateHoled, Start, Copy, Write { lines: 1, padding: 0 },
        Copytruncate, Look, Move,
    ]),
    ("a rotation that somebody wrote to late, beside a log that is emptied", Reach::Name, &[
        WriteHalf, Look, Rename, Write { lines: 1, padding: 0 }, WriteOld, Outwait, Stop, Truncate,
    ]),
    ("a file that cannot be opened and is copied and emptied", Reach::Names, &[
        Write { lines: 3, padding: 340 }, Look, Forbid, Stop, Start, Copytruncate, Read { lines: 1 },
        Write { lines: 1, padding: 0 },
    ]),
    ("a copy of a new file, beside one that was emptied and rotated", Reach::Name, &[
        WriteHalf, Outwait, Truncate, Rename, Write { lines: 3, padding: 340 }, Copy, Look,
        Write { lines: 1, padding: 0 }, Move,
    ]),
    ("what a cut has left is in a copy as well", Reach::Name, &[
        Write { lines: 2, padding: 300 }, Hear { count: 1 }, RewritePart { lines: 3 }, Hear { count: 1 },
        Copytruncate, Write { lines: 1, padding: 0 },
    ]),
    ("a copy that is heard of before its original is looked at again", Reach::Names, &[
        Create, Look, Copy, Write { lines: 4, padding: 300 }, Copy, Hear { count: 1 },
        Write { lines: 1, padding: 0 }, Look,
    ]),
    ("a log that is cut behind what was read, and whose copy was left alone", Reach::Names, &[
        Write { lines: 4, padding: 505 }, Copy, Read { lines: 2 }, Write { lines: 1, padding: 0 },
        RewritePart { lines: 3 }, Hear { count: 1 }, Write { lines: 1, padding: 0 },
    ]),
    ("a file that comes and is rotated while its log has none", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Look, Rename, Look, Write { lines: 1, padding: 0 }, Rename,
    ]),
    ("the same after a start", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Look, Rename, Stop, Start, Write { lines: 1, padding: 0 }, Rename,
    ]),
    ("an archive of what was empty when it was seen, and is still open", Reach::Name, &[
        WriteHalf, Look, Write { lines: 1, padding: 0 }, Write { lines: 1, padding: 0 }, Truncate, Rename,
        Write { lines: 1, padding: 0 }, Look, WriteOld, Compress, Truncate, Look,
    ]),
    ("an archive of what was empty at the last checkpoint", Reach::Name, &[
        Create, Look, Save, Rename, WriteOld, Compress, Read { lines: 1 }, Kill,
    ]),
    ("an archive of what was finished, and written to after the next log was begun", Reach::Names, &[
        Write { lines: 1, padding: 0 }, Rename, Look, Create, WriteOld, Compress, Outwait, Stop, Move,
    ]),
    ("an archive where the archive of another file was", Reach::Names, &[
        WriteHalf, Look, Save, Rename, WriteHalf, Rename, WriteOld, Compress, Reboot,
        Write { lines: 1, padding: 0 }, Start, Rename, Stop, Compress,
    ]),
    ("the fuller of two copies of a log that was emptied", Reach::Names, &[
        Write { lines: 1, padding: 0 }, Rename, Write { lines: 3, padding: 340 }, Look, Copy,
        Write { lines: 1, padding: 0 }, Look, Copytruncate, Hear { count: 1 },
    ]),
    ("an archive of an open file that begins like one that could not be opened", Reach::Names, &[
        WriteHalf, Copy, Look, Rename, Save, WriteHalf, WriteOld, Forbid, Copytruncate, Rename, Kill, Start,
        Compress,
    ]),
    ("of a short log and its copy either archive is that of the log", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Outwait, Copy, Write { lines: 1, padding: 0 }, Rename, Save, Compress,
        Hear { count: 2 }, Kill, Compress, Write { lines: 1, padding: 0 }, Write { lines: 1, padding: 0 },
    ]),
    ("what is known by a second name only is of no log", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Look, Link, Save, Kill, Delete, Start, WriteHalf, Look, Rename, Kill,
        WriteHalf, Write { lines: 1, padding: 0 }, Rename,
    ]),
    ("an archive of a copy that was made earlier, beside that of the log", Reach::Name, &[
        Write { lines: 2, padding: 510 }, Copy, Look, Compress, Rename, Write { lines: 1, padding: 0 }, WriteOld,
        Look, Compress, Stop,
    ]),
    ("after a reboot nothing tells who a file is that could never be read", Reach::Name, &[
        Write { lines: 1, padding: 0 }, Truncate, Look, Link, Break, Write { lines: 1, padding: 0 }, Delete, Look,
        Save, Mend, Reboot,
    ]),
    ("a log that is met together with its copy, of which the name comes first", Reach::Tree, &[
        Write { lines: 2, padding: 510 }, Link, Hold, Move, Look, Link, WriteHeld,
    ]),
    ("a log that is moved to another file system, and whose writer still has it open", Reach::Tree, &[
        Write { lines: 3, padding: 340 }, Hold, Look, Move, Look, WriteHeld,
    ]),
];
