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

// A tree node for BehaviorTree.CPP 4 and BehaviorTree.ROS2 that says something through the action `speak`, which
// knows priorities.

#pragma once

#include <cstddef>
#include <cstdint>
#include <limits>
#include <map>
#include <memory>
#include <string>

#include <behaviortree_ros2/bt_action_node.hpp>
#include <k2so_tts_msgs/action/speak.hpp>

/// RUNNING until the text was heard, SUCCESS when all of it was. If it is halted before, the base class's
/// halt() cancels the goal, and the loudspeaker is silent within 100 ms.
class Speak : public BT::RosActionNode<k2so_tts_msgs::action::Speak>
{
public:
  using RosActionNode::RosActionNode;
  using RosActionNode::onFailure;

  static BT::PortsList providedPorts()
  {
    return providedBasicPorts({
      BT::InputPort<std::string>("text", "what to say"),
      BT::InputPort<std::string>("voice", "", "a voice or its alias; empty: the voice for the language"),
      BT::InputPort<std::string>("language", "", "a language tag; empty: that of the voice"),
      BT::InputPort<float>("rate", 1.0F, "speed, 0.25 to 4.0"),
      BT::InputPort<float>("pitch", 1.0F, "relative to the voice's own, 0.0 to 2.0"),
      BT::InputPort<float>("volume", 1.0F, "linear gain, 0.0 to 1.0"),
      BT::InputPort<std::string>("policy", "default", "default, queue, replace, reject or interrupt"),
      BT::InputPort<unsigned>("priority", 0U, "0 to 255; higher ones are heard first"),
      BT::OutputPort<std::string>("heard", "the text before the word that is being heard; at the end, what was heard"),
      BT::OutputPort<int>("reason", "why it succeeded, a constant of Speak::Result; -1: it has not"),
    });
  }

  bool setGoal(Goal & goal) override
  {
    setOutput("heard", std::string());
    setOutput("reason", -1);
    // A missing text, or another value that cannot be, ends in onFailure(INVALID_GOAL), and no goal is sent.
    const bool is_complete = getInput("text", goal.text) && getInput("voice", goal.voice) &&
      getInput("language", goal.language) && getInput("rate", goal.rate) && getInput("pitch", goal.pitch) &&
      getInput("volume", goal.volume) && getPolicy(goal.policy) && getPriority(goal.priority);
    text_ = goal.text;
    return is_complete;
  }

  BT::NodeStatus onFeedback(const std::shared_ptr<const Feedback> feedback) override
  {
    setOutput("heard", firstCharacters(text_, feedback->text_start));
    return BT::NodeStatus::RUNNING;
  }

  BT::NodeStatus onResultReceived(const WrappedResult & result) override
  {
    setOutput("heard", result.result->heard);
    setOutput("reason", static_cast<int>(result.result->reason));
    RCLCPP_INFO(
      logger_, "%s: heard '%s' (%s)", name().c_str(), result.result->heard.c_str(), result.result->message.c_str());
    return BT::NodeStatus::SUCCESS;  // an aborted or cancelled goal comes to onFailure instead
  }

  BT::NodeStatus onFailure(BT::ActionNodeErrorCode error) override
  {
    RCLCPP_WARN(logger_, "%s: %s", name().c_str(), BT::toStr(error));
    return BT::NodeStatus::FAILURE;
  }

  void onHalt() override
  {
    RCLCPP_INFO(logger_, "%s: cut off", name().c_str());
  }

private:
  bool getPolicy(std::uint8_t & policy)
  {
    static const std::map<std::string, std::uint8_t> policies = {
      {"default", Goal::DEFAULT},
      {"queue", Goal::QUEUE},
      {"replace", Goal::REPLACE},
      {"reject", Goal::REJECT},
      {"interrupt", Goal::INTERRUPT},
    };
    const auto found = policies.find(getInput<std::string>("policy").value_or(""));
    if (found == policies.end()) {
      return false;
    }
    policy = found->second;
    return true;
  }

  bool getPriority(std::uint8_t & priority)
  {
    unsigned value = 0;
    if (!getInput("priority", value) || value > std::numeric_limits<std::uint8_t>::max()) {
      return false;
    }
    priority = static_cast<std::uint8_t>(value);
    return true;
  }

  /// The first `count` characters (Unicode code points) of a text in UTF-8.
  static std::string firstCharacters(const std::string & text, std::size_t count)
  {
    std::size_t end = 0;
    while (end < text.size() && count > 0) {
      do {
        ++end;
      } while (end < text.size() && (static_cast<unsigned char>(text[end]) & 0xC0) == 0x80);
      --count;
    }
    return text.substr(0, end);
  }

  rclcpp::Logger logger_ = rclcpp::get_logger("speak");
  std::string text_;
};
