"""The CMake files of the ROS wheels name directories of the machine that built them: name ours."""

import re
import sys
import sysconfig
from pathlib import Path

THEIRS = re.compile(r"/opt/python/cp\d+-cp\d+/(include|lib)/python3\.\d+(?:/site-packages)?")
OURS = {"include": sysconfig.get_path("include"), "lib": sysconfig.get_path("purelib")}

for file in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
    text = file.read_text(encoding="utf-8")
    relocated = THEIRS.sub(lambda match: OURS[match[1]], text)
    if relocated != text:
        file.write_text(relocated, encoding="utf-8")
