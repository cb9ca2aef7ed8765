"""Replace the build machine's paths in the CMake files of the ROS wheels by those of this venv."""

import re
import sys
import sysconfig
from pathlib import Path

BUILD_PATHS = re.compile(r"/opt/python/cp\d+-cp\d+/(include|lib)/python3\.\d+(?:/site-packages)?")
LOCAL_PATHS = {"include": sysconfig.get_path("include"), "lib": sysconfig.get_path("purelib")}

for file in Path(sys.prefix, "share").glob("*/cmake/*.cmake"):
    text = file.read_text(encoding="utf-8")
    relocated = BUILD_PATHS.sub(lambda match: LOCAL_PATHS[match[1]], text)
    if relocated != text:
        file.write_text(relocated, encoding="utf-8")
