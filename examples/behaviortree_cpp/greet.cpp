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

// Ticks trees/greet.xml until Ctrl-C. The topics `danger` and `battery_low` (std_msgs/Bool) set the blackboard
// entries of these names.

#include <atomic>
#include <chrono>
#include <csignal>
#include <memory>
#include <string>
#include <vector>

#include <ament_index_cpp/get_package_share_directory.hpp>
#include <behaviortree_cpp/bt_factory.h>
#include <rclcpp/rclcpp.hpp>
#include <std_msgs/msg/bool.hpp>

#include "say.hpp"
#include "speak.hpp"

using namespace std::chrono_literals;

namespace
{
std::atomic<bool> stop{false};
}

int main(int argc, char ** argv)
{
  // rclcpp's own handlers would shut ROS down at Ctrl-C, before a goal could be cancelled.
  rclcpp::init(argc, argv, rclcpp::InitOptions(), rclcpp::SignalHandlerOptions::None);
  std::signal(SIGINT, [](int) {stop = true;});
  std::signal(SIGTERM, [](int) {stop = true;});

  auto node = std::make_shared<rclcpp::Node>("greeter");
  BT::RosNodeParams params;
  params.nh = node;

  BT::BehaviorTreeFactory factory;
  params.default_port_value = "say";
  factory.registerNodeType<Say>("Say", params);
  params.default_port_value = "speak";
  factory.registerNodeType<Speak>("Speak", params);

  auto blackboard = BT::Blackboard::create();
  std::vector<rclcpp::SubscriptionBase::SharedPtr> subscriptions;
  for (const std::string topic : {"danger", "battery_low"}) {
    blackboard->set(topic, false);
    subscriptions.push_back(
      node->create_subscription<std_msgs::msg::Bool>(
        topic, 10, [blackboard, topic](const std_msgs::msg::Bool & message) {
          blackboard->set(topic, message.data);
        }));
  }

  const auto share = ament_index_cpp::get_package_share_directory("k2so_tts_greet");
  auto tree = factory.createTreeFromFile(share + "/trees/greet.xml", blackboard);
  while (!stop) {
    rclcpp::spin_some(node);
    tree.tickOnce();
    tree.sleep(20ms);  // returns early when a tree node asks for a tick
  }
  tree.haltTree();
  rclcpp::shutdown();
  return 0;
}
