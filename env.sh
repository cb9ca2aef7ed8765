# Copyright 2026 The k2so_tts authors
# SPDX-License-Identifier: Apache-2.0
#
# Licensed under the Apache License, Version 2.0 (the "License");
# you may not use this file except in compliance with the License.
# You may obtain a copy of the License at
#
#     http://www.apache.org/licenses/LICENSE-2.0
#
# Unless required by applicable law or agreed to in writing, software
# distributed under the License is distributed on an "AS IS" BASIS,
# WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
# See the License for the specific language governing permissions and
# limitations under the License.

# . ./env.sh  puts speak_server, audio_player, k2so-tts, rclpy and the messages within reach of this shell
# (bash or zsh; other shells from this directory only), in place of any other ROS 2. ROS_DISTRO chooses, kilted
# unless set. With K2SO_NEURAL=1 the neural engines are within reach, too.

: "${ROS_DISTRO:=kilted}"

case ${BASH_VERSION-}${ZSH_VERSION-} in
    '') _k2so=$PWD ;;
    *) _k2so=$(CDPATH='' cd -- "$(dirname -- "${BASH_SOURCE:-$0}")" && pwd) ;;
esac
_k2so_venv=$_k2so/.venv/$ROS_DISTRO
_k2so_install=$_k2so/install/$ROS_DISTRO

if [ ! -e "$_k2so_install/k2so_tts/share/k2so_tts/package.xml" ]; then
    echo "env.sh: nothing is built for ROS 2 $ROS_DISTRO here: run \"make build ROS_DISTRO=$ROS_DISTRO\" first" >&2
    unset _k2so _k2so_venv _k2so_install
    return 1
fi

for _k2so_site in "$_k2so_venv"/lib/python3.*/site-packages; do
    PYTHONPATH=${_k2so_site#"$_k2so_venv/"}
done
_k2so_path=
for _k2so_package in k2so_tts audio_common_msgs k2so_tts_msgs; do
    _k2so_path=$_k2so_path$_k2so_install/$_k2so_package/$PYTHONPATH:
done
PYTHONPATH=${_k2so_path%:}
if [ -n "${K2SO_NEURAL-}" ]; then
    if [ ! -e "$_k2so_venv-neural/.neural" ]; then
        echo "env.sh: the neural engines are not installed here: run \"make neural ROS_DISTRO=$ROS_DISTRO\" first" >&2
        unset _k2so _k2so_venv _k2so_install _k2so_site
        return 1
    fi
    PYTHONPATH=$PYTHONPATH:$(echo "$_k2so_venv-neural"/lib/python3.*/site-packages)
fi
AMENT_PREFIX_PATH=$_k2so_install/k2so_tts:$_k2so_install/audio_common_msgs:$_k2so_install/k2so_tts_msgs:$_k2so_venv

_k2so_bin=$_k2so_install/k2so_tts/lib/k2so_tts:$_k2so_venv/bin
case $PATH: in
    "$_k2so_bin":*) ;;
    *) PATH=$_k2so_bin:$PATH ;;
esac

# The wheels would start every Python process twice, to set this
_k2so_lib=$_k2so_install/audio_common_msgs/lib:$_k2so_install/k2so_tts_msgs/lib:$_k2so_venv/lib
for _k2so_site in "$_k2so_site"/ros_*.libs; do
    _k2so_lib=$_k2so_lib:$_k2so_site
done
case ${LD_LIBRARY_PATH-}: in
    "$_k2so_lib":*) ;;
    *) LD_LIBRARY_PATH=$_k2so_lib${LD_LIBRARY_PATH:+:$LD_LIBRARY_PATH} ;;
esac
_ROS_WHEELS_BOOTSTRAP_COMPLETE=1
RMW_IMPLEMENTATION=rmw_fastrtps_cpp  # the only one there is a wheel of

export ROS_DISTRO PYTHONPATH AMENT_PREFIX_PATH PATH LD_LIBRARY_PATH _ROS_WHEELS_BOOTSTRAP_COMPLETE RMW_IMPLEMENTATION
unset _k2so _k2so_venv _k2so_install _k2so_site _k2so_bin _k2so_lib _k2so_path _k2so_package
