// Copyright 2026 The k2so_tts authors
// SPDX-License-Identifier: Apache-2.0
//
// Licensed under the Apache License, Version 2.0 (the "License");
// you may not use this file except in compliance with the License.
// You may obtain a copy of the License at
//
//     http://www.apache.org/licenses/LICENSE-2.0
//
// Unless required by applicable law or agreed to in writing, software
// distributed under the License is distributed on an "AS IS" BASIS,
// WITHOUT WARRANTIES OR CONDITIONS OF ANY KIND, either express or implied.
// See the License for the specific language governing permissions and
// limitations under the License.

// A tree node for BehaviorTree.CPP 4 and BehaviorTree.ROS2 that says something through the action `say`.

#pragma once

#include <memory>
#include <string>

#include <audio_common_msgs/action/tts.hpp>
#include <behaviortree_ros2/bt_action_node.hpp>

/// RUNNING until the text was heard, SUCCESS when all of it was. If it is halted before, the base class's
/// halt() cancels the goal, and the loudspeaker is silent within 100 ms.
class Say : public BT::RosActionNode<audio_common_msgs::action::TTS>
{
public:
  using RosActionNode::RosActionNode;
  using RosActionNode::onFailure;

  static BT::PortsList providedPorts()
  {
    return providedBasicPorts({
      BT::InputPort<std::string>("text", "what to say"),
      BT::InputPort<std::string>("language", "", "a voice alias, voice or language; empty: the server's default"),
      BT::InputPort<float>("volume", 1.0F, "linear gain, 0.0 to 1.0"),
      BT::InputPort<float>("rate", 1.0F, "speed, 0.25 to 4.0"),
      BT::OutputPort<double>("heard_s", "seconds of speech played so far"),
    });
  }

  bool setGoal(Goal & goal) override
  {
    heard_s_ = 0.0;
    // A missing text ends in onFailure(INVALID_GOAL), and no goal is sent.
    return getInput("text", goal.text) && getInput("language", goal.language) &&
           getInput("volume", goal.volume) && getInput("rate", goal.rate);
  }

  BT::NodeStatus onFeedback(const std::shared_ptr<const Feedback> feedback) override
  {
    const auto & info = feedback->audio.audio.info;
    if (info.rate > 0) {
      heard_s_ += static_cast<double>(info.chunk) / info.rate;
    }
    setOutput("heard_s", heard_s_);
    return BT::NodeStatus::RUNNING;
  }

  BT::NodeStatus onResultReceived(const WrappedResult & result) override
  {
    RCLCPP_INFO(logger_, "%s: heard '%s'", name().c_str(), result.result->text.c_str());
    return BT::NodeStatus::SUCCESS;  // an aborted or cancelled goal comes to onFailure instead
  }

  BT::NodeStatus onFailure(BT::ActionNodeErrorCode error) override
  {
    RCLCPP_WARN(logger_, "%s: %s", name().c_str(), BT::toStr(error));
    return BT::NodeStatus::FAILURE;
  }

  void onHalt() override
  {
    RCLCPP_INFO(logger_, "%s: cut off after %.1f s", name().c_str(), heard_s_);
  }

private:
  rclcpp::Logger logger_ = rclcpp::get_logger("say");
  double heard_s_ = 0.0;
};
